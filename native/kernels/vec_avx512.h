// Vector vocabulary of AVX-512F and DQ: sixteen float32 lanes, masks for the tails.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace crumb::avx512 {

// What every CPU with VNNI or bfloat16 has besides.
static inline bool has_base() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
}

struct Vec {
  static constexpr int width = 16;
  __m512 v;

  static inline Vec set1(float x) { return {_mm512_set1_ps(x)}; }
  static inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static inline __mmask16 mask(int n) { return static_cast<__mmask16>((1U << static_cast<unsigned>(n)) - 1U); }
  static inline Vec load_n(const float* p, int n) { return {_mm512_maskz_loadu_ps(mask(n), p)}; }
  inline void store(float* p) const { _mm512_storeu_ps(p, v); }
  inline void store_n(float* p, int n) const { _mm512_mask_storeu_ps(p, mask(n), v); }

  // `width` rows of as many 32-bit values become columns; rows lie `stride` bytes apart.
  static inline void transpose(const void* from, std::ptrdiff_t stride, void* to, std::ptrdiff_t to_stride) {
    __m512 a[16];
    __m512 b[16];
    for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_ps(static_cast<const char*>(from) + i * stride);
    for (int i = 0; i < 16; i += 2) {
      b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
      b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
    // columns j, j + 4, j + 8 and j + 12 of rows i to i + 3 in a[i + j]
    for (int i = 0; i < 16; i += 4) {
      a[i] = _mm512_shuffle_ps(b[i], b[i + 2], 0x44);
      a[i + 1] = _mm512_shuffle_ps(b[i], b[i + 2], 0xEE);
      a[i + 2] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0x44);
      a[i + 3] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0xEE);
    }
    for (int j = 0; j < 4; ++j) {
      const __m512 low = _mm512_shuffle_f32x4(a[j], a[j + 4], 0x88);        // columns j and j + 8 of rows 0 to 7
      const __m512 high = _mm512_shuffle_f32x4(a[j + 8], a[j + 12], 0x88);  // of rows 8 to 15
      const __m512 low4 = _mm512_shuffle_f32x4(a[j], a[j + 4], 0xDD);       // columns j + 4 and j + 12
      const __m512 high4 = _mm512_shuffle_f32x4(a[j + 8], a[j + 12], 0xDD);
      b[j] = _mm512_shuffle_f32x4(low, high, 0x88);
      b[j + 8] = _mm512_shuffle_f32x4(low, high, 0xDD);
      b[j + 4] = _mm512_shuffle_f32x4(low4, high4, 0x88);
      b[j + 12] = _mm512_shuffle_f32x4(low4, high4, 0xDD);
    }
    for (int i = 0; i < 16; ++i) _mm512_storeu_ps(static_cast<char*>(to) + i * to_stride, b[i]);
  }
};

static inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
static inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
static inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
static inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
static inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
static inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
static inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
static inline Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
// x * 2^n, where t = n + 1.5 * 2^23: its last bits are n, added to the exponent of x
static inline Vec add_exponent(Vec x, Vec t) {
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x.v), _mm512_slli_epi32(_mm512_castps_si512(t.v), 23)))};
}
// rounded to the nearest integers within [0, 255]
static inline void store_bytes(Vec a, std::uint8_t* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(_mm512_max_ps(a.v, _mm512_setzero_ps()))));
}
static inline float reduce_add(Vec a) { return _mm512_reduce_add_ps(a.v); }
static inline float reduce_max(Vec a) { return _mm512_reduce_max_ps(a.v); }

}  // namespace crumb::avx512
