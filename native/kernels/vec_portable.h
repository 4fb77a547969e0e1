// Vector vocabulary without any instruction set: four lanes of the compiler's own vectors, which it maps to what the
// target's baseline has (SSE2, NEON) or to scalars. a*b+c is rounded twice here, by design on every machine.
#pragma once

#include <cstdint>
#include <cstring>

namespace crumb::portable {

struct Vec {
  static constexpr int width = 4;
  typedef float Lanes __attribute__((vector_size(16)));
  typedef std::int32_t Ints __attribute__((vector_size(16)));
  Lanes v;

  static inline Vec set1(float x) { return {Lanes{x, x, x, x}}; }
  static inline Vec load(const float* p) {
    Vec r;
    std::memcpy(&r.v, p, sizeof r.v);
    return r;
  }
  static inline Vec load_n(const float* p, int n) {
    Vec r = set1(0.0F);
    std::memcpy(&r.v, p, sizeof(float) * static_cast<unsigned>(n));
    return r;
  }
  inline void store(float* p) const { std::memcpy(p, &v, sizeof v); }
  inline void store_n(float* p, int n) const { std::memcpy(p, &v, sizeof(float) * static_cast<unsigned>(n)); }
};

static inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
static inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
static inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
static inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
static inline Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
static inline Vec max(Vec a, Vec b) {
  const Vec::Ints greater = a.v > b.v;
  return {(Vec::Lanes)(((Vec::Ints)a.v & greater) | ((Vec::Ints)b.v & ~greater))};
}
static inline Vec min(Vec a, Vec b) {
  const Vec::Ints less = a.v < b.v;
  return {(Vec::Lanes)(((Vec::Ints)a.v & less) | ((Vec::Ints)b.v & ~less))};
}
// Rounds to the nearest integer: below 2^22 adding 1.5 * 2^23 pushes the fraction out of the mantissa, and above 2^23 there is
// none. Between them halves stay, of which nothing here makes use.
static inline Vec round(Vec a) {
  const Vec magic = Vec::set1(12582912.0F);
  const Vec near = (a + magic) - magic;
  const Vec::Ints small = (max(a, Vec::set1(0.0F) - a)).v < Vec::set1(4194304.0F).v;
  return {(Vec::Lanes)(((Vec::Ints)near.v & small) | ((Vec::Ints)a.v & ~small))};
}
// x * 2^n, where t = n + 1.5 * 2^23: its last bits are n, added to the exponent of x
static inline Vec add_exponent(Vec x, Vec t) {
  typedef std::uint32_t Bits __attribute__((vector_size(16)));
  return {(Vec::Lanes)((Bits)x.v + ((Bits)t.v << 23))};
}
// rounded to the nearest integers within [0, 255]
static inline void store_bytes(Vec a, std::uint8_t* p) {
  a = min(max(round(a), Vec::set1(0.0F)), Vec::set1(255.0F));
  for (int i = 0; i < Vec::width; ++i) p[i] = static_cast<std::uint8_t>(static_cast<int>(a.v[i]));
}
static inline float reduce_add(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
static inline float reduce_max(Vec a) {
  const float x = a.v[0] > a.v[1] ? a.v[0] : a.v[1];
  const float y = a.v[2] > a.v[3] ? a.v[2] : a.v[3];
  return x > y ? x : y;
}

}  // namespace crumb::portable
