// AVX2 and FMA, weights of bfloat16 (generic/bf16_weights.h).
#include "float32_avx2.h"
#include "generic/bf16_weights.h"
#include "generic/table.h"

namespace crumb::avx2_bf16 {

extern const Kernels kernels;

using avx2::Vec;

struct Halves {
  static inline __m256i both(const std::uint16_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  // a shuffle of bytes and no shift, as Intel shifts where it multiplies
  static inline Vec lower(const std::uint16_t* p) {
    const __m256i raise = _mm256_broadcastsi128_si256(_mm_setr_epi32(0x01008080, 0x05048080, 0x09088080, 0x0D0C8080));
    return {_mm256_castsi256_ps(_mm256_shuffle_epi8(both(p), raise))};
  }
  static inline Vec upper(const std::uint16_t* p) {
    return {_mm256_castsi256_ps(_mm256_and_si256(both(p), _mm256_set1_epi32(static_cast<int>(0xFFFF0000U))))};
  }
};

struct Weights : generic::Bf16Weights<Vec, Halves> {
  static constexpr bool apart = true;  // GELU's constants would push sums out
};

static bool supported() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

// As many sums as in float32, so that neither has to wait: the masks stay in memory.
using Tiled = generic::Tiled<Weights, 6, 2>;

const Kernels kernels = generic::Table<Tiled, generic::Direct<Tiled>, avx2::Float32Product>::make(
    "avx2_bf16", Precision::bf16, supported);

}  // namespace crumb::avx2_bf16
