// bfloat16 pairs summed in float32 by VDPBF16PS (gemm.h's D).
#pragma once

#include "vec_avx512.h"

namespace crumb::avx512 {

// Rows are read a pair at a time and broadcast; a panel's columns lie as pairs, so one instruction takes sixteen of them.
struct Bf16 {
  using Vec = avx512::Vec;
  using Sum = Vec;
  using Row = std::uint16_t;
  using Weight = std::uint16_t;
  using Element = std::uint16_t;
  static constexpr int depth = 2;
  static constexpr int exp_degree = 3;
  static constexpr bool exact_gelu = false;
  static inline Vec zero() { return Vec::set1(0.0F); }
  static inline __m512bh load(const Element* p) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p)); }
  static inline __m512bh broadcast(const Element* p) {
    int pair;
    __builtin_memcpy(&pair, p, sizeof pair);
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
  }
  static inline Vec dot(Vec sum, __m512bh a, __m512bh b) { return {_mm512_dpbf16_ps(sum.v, a, b)}; }
  static inline Vec read(const Element* p, int lanes) {
    const __m256i halves = lanes == Vec::width ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))
                                               : _mm256_maskz_loadu_epi16(Vec::mask(lanes), p);
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
  }
  static inline void store(Vec v, Element* p, int lanes) {
    const auto halves = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v.v));
    if (lanes == Vec::width) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), halves);
    } else {
      _mm256_mask_storeu_epi16(p, Vec::mask(lanes), halves);
    }
  }
};

}  // namespace crumb::avx512
