// Bytes in 512-bit registers (gemm.h's D, quantize.h's D), summed in int32 by VPDPBUSD where there is one.
#pragma once

#include "vec_avx512.h"

namespace crumb::avx512 {

struct Bytes {
  using Vec = avx512::Vec;
  using Sum = __m512i;
  using Row = std::uint8_t;
  using Weight = std::int8_t;
  static constexpr int depth = 4;
  static constexpr int offset = 0;
  static constexpr bool exact_gelu = false;
  static inline __m512i zero() { return _mm512_setzero_si512(); }
  static inline __m512i load(const std::int8_t* p) { return _mm512_loadu_si512(p); }
  static inline __m512i broadcast(const std::uint8_t* p) {
    int four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
  }
  static inline Vec to_float(__m512i sum) { return {_mm512_cvtepi32_ps(sum)}; }
  static inline void store_bytes(Vec v, std::uint8_t* p) { avx512::store_bytes(v, p); }
};

struct Int8 : Bytes {
  static constexpr int pair_limit = 0;
  // Not the intrinsic: GCC 12 copies every sum of a tile to and fro around it, at four times the cost.
  static inline __m512i dot(__m512i sum, __m512i a, __m512i b) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
};

// Signed rows by unsigned columns. Sums begin at the bits of 1.5 * 2^23, so that they are float32 as they stand.
struct Int8Scores : Int8 {
  using Row = std::int8_t;
  using Weight = std::uint8_t;
  static constexpr float first = 12582912.0F;
  static inline __m512i zero() { return _mm512_set1_epi32(0x4B400000); }
  static inline __m512i load(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
  static inline __m512i broadcast(const std::int8_t* p) {
    int four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
  }
  static inline __m512i dot(__m512i sum, __m512i a, __m512i b) { return Int8::dot(sum, b, a); }
  static inline void store_signed(Vec v, std::int8_t* p, int lanes) {
    _mm_mask_storeu_epi8(p, Vec::mask(lanes), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v.v)));
  }
  static inline Vec score(__m512i sum) { return {_mm512_castsi512_ps(sum)}; }
};

}  // namespace crumb::avx512
