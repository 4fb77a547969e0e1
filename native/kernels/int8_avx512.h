// Bytes summed in int32 by VPDPBUSD (gemm.h's D, quantize.h's D).
#pragma once

#include "vec_avx512.h"

namespace crumb::avx512 {

struct Int8 {
  using Vec = avx512::Vec;
  using Sum = __m512i;
  using Row = std::uint8_t;
  using Weight = std::int8_t;
  static constexpr int depth = 4;
  static constexpr int offset = 0;
  static constexpr int pair_limit = 0;
  static constexpr bool exact_gelu = false;
  static inline __m512i zero() { return _mm512_setzero_si512(); }
  static inline __m512i load(const std::int8_t* p) { return _mm512_loadu_si512(p); }
  static inline __m512i broadcast(const std::uint8_t* p) {
    int four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
  }
  // Not the intrinsic: GCC 12 copies every sum of a tile to and fro around it, at four times the cost.
  static inline __m512i dot(__m512i sum, __m512i a, __m512i b) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
  static inline Vec to_float(__m512i sum) { return {_mm512_cvtepi32_ps(sum)}; }
  static inline void store_bytes(Vec v, std::uint8_t* p) { avx512::store_bytes(v, p); }
};

}  // namespace crumb::avx512
