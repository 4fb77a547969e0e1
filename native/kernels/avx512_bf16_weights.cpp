// AVX-512F, weights of bfloat16 (generic/bf16_weights.h): for CPUs that have no instruction for bfloat16, or a slow one
// (dispatch.cpp).
#include "float32_avx512.h"
#include "generic/bf16_weights.h"
#include "generic/table.h"

namespace crumb::avx512_bf16_weights {

extern const Kernels kernels;

using avx512::Vec;

struct Halves {
  static inline Vec lower(const std::uint16_t* p) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16))}; }
  static inline Vec upper(const std::uint16_t* p) {
    return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0xFFFF0000U))))};
  }
};

static bool supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
}

// Every twelve rows pay two instructions for 24 multiplications.
using Tiled = generic::Tiled<generic::Bf16Weights<Vec, Halves>, 12, 2>;

const Kernels kernels = generic::Table<Tiled, generic::Direct<Tiled>, avx512::Float32Product>::make(
    "avx512_bf16_weights", Precision::bf16, supported);

}  // namespace crumb::avx512_bf16_weights
