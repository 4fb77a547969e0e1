// Bytes in 256-bit registers (gemm.h's D, quantize.h's D): what the two ways to sum them share.
#pragma once

#include "vec_avx2.h"

namespace crumb::avx2 {

struct Int8 {
  using Vec = avx2::Vec;
  using Sum = __m256i;
  using Row = std::uint8_t;
  using Weight = std::int8_t;
  static constexpr int depth = 4;
  static constexpr int offset = 0;
  static constexpr bool exact_gelu = false;
  static constexpr bool apart = true;  // GELU took half of the rate
  static inline __m256i zero() { return _mm256_setzero_si256(); }
  static inline __m256i load(const std::int8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static inline __m256i broadcast(const std::uint8_t* p) {
    int four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
  }
  static inline Vec to_float(__m256i sum) { return {_mm256_cvtepi32_ps(sum)}; }
  static inline void store_bytes(Vec v, std::uint8_t* p) { avx2::store_bytes(v, p); }
};

}  // namespace crumb::avx2
