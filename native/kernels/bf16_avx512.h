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

  // Softmax weights of 32 neighbouring scores, and the sum of what was stored (attention.h). A score becomes a word of eight bits
  // exponent and eight of fraction f, which is its bfloat16 but for 2^f - 1 in the place of f: 0.352 f (1 - f) is taken off.
  // With the rounding that is 0.27 % of a weight in the root mean square, where rounding alone is 0.17 %, at half the
  // instructions that two vectors of float32 take.
  static constexpr float parts = 256.0F;
  static inline Vec weights(Vec a, Vec b, Vec factor, Vec start, int columns, Element* to) {
    alignas(64) static constexpr std::uint16_t lower[32] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
                                                            32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62};
    const __m512i words = _mm512_permutex2var_epi16(_mm512_castps_si512(fma(a, factor, start).v), _mm512_load_si512(lower),
                                                    _mm512_castps_si512(fma(b, factor, start).v));
    const __m512i f = _mm512_and_si512(words, _mm512_set1_epi16(255));
    const __m512i arc = _mm512_mullo_epi16(f, _mm512_sub_epi16(_mm512_set1_epi16(256), f));
    const __m512i off = _mm512_mulhrs_epi16(arc, _mm512_set1_epi16(45));
    __m512i halves = _mm512_avg_epu16(_mm512_sub_epi16(words, off), _mm512_setzero_si512());
    if (columns < 32) halves = _mm512_maskz_mov_epi16((1U << static_cast<unsigned>(columns)) - 1U, halves);
    _mm512_storeu_si512(to, halves);
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000U));
    return Vec{_mm512_castsi512_ps(_mm512_slli_epi32(halves, 16))} + Vec{_mm512_castsi512_ps(_mm512_and_si512(halves, upper))};
  }

  // The least and the largest of n elements and 0, n being a multiple of 32. Positive floats are in the order of their bits,
  // negative ones in the reverse order, above all others if bits are taken as unsigned.
  static inline void range(const Element* p, int n, float& low, float& high) {
    __m512i over = _mm512_setzero_si512();
    __m512i under = over;
    for (int i = 0; i < n; i += 32) {
      const __m512i x = _mm512_loadu_si512(p + i);
      over = _mm512_max_epi16(over, x);
      under = _mm512_max_epu16(under, x);
    }
    const auto most = [](__m512i x) {
      const __m256i half = _mm256_max_epu16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
      const __m128i quarter = _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
      const __m128i least = _mm_minpos_epu16(_mm_xor_si128(quarter, _mm_set1_epi16(-1)));
      return static_cast<std::uint32_t>(_mm_extract_epi16(least, 0)) ^ 0xFFFFU;
    };
    const auto number = [](std::uint32_t bits) {
      bits <<= 16;
      float value;
      __builtin_memcpy(&value, &bits, sizeof value);
      return value;
    };
    high = number(most(over));
    const std::uint32_t bits = most(under);
    low = bits >= 0x8000U ? number(bits) : 0.0F;
  }

  // round(element * factor + shift) of n elements as bytes, n being a multiple of 32 and every result between 0 and 256. Where
  // 1.5 * 2^23 is added, the last bits are the number rounded; odd elements meet even ones in words.
  static inline void to_bytes(const Element* p, int n, float factor, float shift, std::uint8_t* to) {
    const __m512 by = _mm512_set1_ps(factor);
    const __m512 plus = _mm512_set1_ps(shift + 12582912.0F);
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000U));
    for (int i = 0; i < n; i += 32) {
      const __m512i x = _mm512_loadu_si512(p + i);
      const __m512 even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), by, plus);
      const __m512 odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, upper)), by, plus);
      const __m512i words =
          _mm512_mask_blend_epi16(0xAAAAAAAAU, _mm512_castps_si512(even), _mm512_slli_epi32(_mm512_castps_si512(odd), 16));
      const __m256i bytes = _mm512_cvtusepi16_epi8(_mm512_max_epi16(words, _mm512_setzero_si512()));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), bytes);
    }
  }
};

}  // namespace crumb::avx512
