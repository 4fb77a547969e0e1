// AVX-512 with the bfloat16 dot product (VDPBF16PS): pairs of bfloat16 summed in float32, at twice the rate of float32.
#include "generic/table.h"
#include "vec_avx512.h"

namespace crumb::avx512_bf16 {

using avx512::Vec;

extern const Kernels kernels;

// Rows are read a pair at a time and broadcast; a panel's columns lie as pairs, so one instruction takes sixteen of them.
struct Bf16 {
  using Vec = avx512::Vec;
  using Element = std::uint16_t;
  static constexpr int depth = 2;
  static constexpr int exp_degree = 3;
  static inline __m512bh load(const Element* p) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p)); }
  static inline __m512bh broadcast(const Element* p) {
    int pair;
    __builtin_memcpy(&pair, p, sizeof pair);
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
  }
  static inline Vec dot(Vec sum, __m512bh a, __m512bh b) { return {_mm512_dpbf16_ps(sum.v, a, b)}; }
  static inline void store(Vec v, Element* p, int lanes) {
    const auto halves = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v.v));
    if (lanes == Vec::width) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), halves);
    } else {
      _mm256_mask_storeu_epi16(p, Vec::mask(lanes), halves);
    }
  }
};

static bool supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bf16");
}

// 12 x 2 sums, 2 weights and a broadcast fit the 32 registers.
const Kernels kernels = generic::Table<Bf16, 12, 2>::make("avx512_bf16", Precision::bf16, supported);

}  // namespace crumb::avx512_bf16
