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
