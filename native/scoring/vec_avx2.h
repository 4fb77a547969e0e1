// The scans' vocabulary of AVX2 with FMA and F16C; bits are compared in lookup_avx2.h.
#pragma once

#include <cstring>

#include "../kernels/vec_avx2.h"
#include "stored.h"

namespace crumb::scoring::avx2 {

struct Scan {
  using Vec = crumb::avx2::Vec;
  // 3 x 4 sums, 3 rows and a query fill the 16 registers
  static constexpr int rows = 3;
  static constexpr int queries = 4;
  static constexpr int direct_rows = 8;
  static constexpr int fewest_for_gemm = 3;

  struct F32 : Elements<Scan, 4> {
    static inline Vec load(const unsigned char* row, int at) {
      return {_mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + at * 4)))};
    }
  };
  struct F16 : Elements<Scan, 2> {
    static inline Vec load(const unsigned char* row, int at) {
      return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + at * 2)))};
    }
  };
  struct I8 : Elements<Scan, 1> {
    static inline Vec load(const unsigned char* row, int at) {
      return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + at))))};
    }
  };
  struct U8 : Elements<Scan, 1> {
    static inline Vec load(const unsigned char* row, int at) {
      return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + at))))};
    }
  };
  struct Bits : PackedBits<Scan> {
    static inline Vec load(const unsigned char* row, int at) {
      const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
      const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(row[at / 8]), lane), lane);
      return {_mm256_and_ps(_mm256_castsi256_ps(set), _mm256_set1_ps(1.0F))};
    }
  };

  static inline void reduce4(Vec a, Vec b, Vec c, Vec d, float* to) {
    const __m256 sums = _mm256_hadd_ps(_mm256_hadd_ps(a.v, b.v), _mm256_hadd_ps(c.v, d.v));
    _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1)));
  }

  static constexpr int wide = 16;
  using Wide = __m256i;
  static inline Wide wide_zero() { return _mm256_setzero_si256(); }
  template <bool Signed>
  static inline __m256i widen(const unsigned char* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return Signed ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes);
  }
  static inline Wide madd(Wide sum, __m256i a, const std::int16_t* q) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q))));
  }
  static inline std::int32_t wide_sum(Wide sum) {
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xB1)));
  }
};

}  // namespace crumb::scoring::avx2
