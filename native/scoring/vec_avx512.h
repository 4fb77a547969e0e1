// The scans' vocabulary of AVX-512 with BW, VL, VNNI and VPOPCNTDQ (Ice Lake, Zen 4 and later).
#pragma once

#include "../kernels/vec_avx512.h"
#include "stored.h"

namespace crumb::scoring::avx512 {

struct Scan {
  using Vec = crumb::avx512::Vec;
  // 4 x 6 sums, 4 rows and a query fit the 32 registers
  static constexpr int rows = 4;
  static constexpr int queries = 6;
  static constexpr int direct_rows = 8;
  static constexpr int fewest_for_gemm = 3;

  struct F32 : Elements<Scan, 4> {
    static inline Vec load(const unsigned char* row, int at) { return {_mm512_loadu_ps(row + at * 4)}; }
  };
  struct F16 : Elements<Scan, 2> {
    static inline Vec load(const unsigned char* row, int at) {
      return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + at * 2)))};
    }
  };
  struct I8 : Elements<Scan, 1> {
    static inline Vec load(const unsigned char* row, int at) {
      return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + at))))};
    }
  };
  struct U8 : Elements<Scan, 1> {
    static inline Vec load(const unsigned char* row, int at) {
      return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + at))))};
    }
  };
  struct Bits : PackedBits<Scan> {
    static inline Vec load(const unsigned char* row, int at) {
      const auto set = static_cast<__mmask16>(row[at / 8] | row[at / 8 + 1] << 8);
      return {_mm512_maskz_mov_ps(set, _mm512_set1_ps(1.0F))};
    }
  };

  static inline void reduce4(Vec a, Vec b, Vec c, Vec d, float* to) {
    const auto half = [](Vec x) { return _mm256_add_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1)); };
    const __m256 sums = _mm256_hadd_ps(_mm256_hadd_ps(half(a), half(b)), _mm256_hadd_ps(half(c), half(d)));
    _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1)));
  }

  static constexpr int wide = 32;
  using Wide = __m512i;
  static inline Wide wide_zero() { return _mm512_setzero_si512(); }
  template <bool Signed>
  static inline __m512i widen(const unsigned char* p) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return Signed ? _mm512_cvtepi8_epi16(bytes) : _mm512_cvtepu8_epi16(bytes);
  }
  static inline Wide madd(Wide sum, __m512i a, const std::int16_t* q) { return _mm512_dpwssd_epi32(sum, a, _mm512_loadu_si512(q)); }
  static inline std::int32_t wide_sum(Wide sum) { return _mm512_reduce_add_epi32(sum); }

  static constexpr int bit_bytes = 64;
  static inline __m512i differ(const unsigned char* row, const std::uint64_t* bits) {
    return _mm512_xor_si512(_mm512_loadu_si512(row), _mm512_loadu_si512(bits));
  }
  static inline __m512i differ_n(const unsigned char* row, const std::uint64_t* bits, int bytes) {
    const auto some = static_cast<__mmask64>((std::uint64_t{1} << static_cast<unsigned>(bytes)) - 1);
    return _mm512_xor_si512(_mm512_maskz_loadu_epi8(some, row), _mm512_loadu_si512(bits));
  }
  template <int Planes>
  struct BitSum {
    __m512i sum = _mm512_setzero_si512();
    inline void add(int plane, __m512i different, const std::uint64_t* weights) {
      const __m512i counts = _mm512_popcnt_epi64(_mm512_and_si512(different, _mm512_loadu_si512(weights)));
      sum = _mm512_add_epi64(sum, _mm512_slli_epi64(counts, static_cast<unsigned>(plane)));
    }
    inline void settle() {}
    inline std::int32_t total() const { return static_cast<std::int32_t>(_mm512_reduce_add_epi64(sum)); }
  };
};

}  // namespace crumb::scoring::avx512
