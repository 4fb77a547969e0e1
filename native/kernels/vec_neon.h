// Vector vocabulary of NEON (AArch64): four float32 lanes with fused multiply-add.
#pragma once

#include <arm_neon.h>

#include <cstring>

namespace crumb::neon {

struct Vec {
  static constexpr int width = 4;
  float32x4_t v;

  static inline Vec set1(float x) { return {vdupq_n_f32(x)}; }
  static inline Vec load(const float* p) { return {vld1q_f32(p)}; }
  static inline Vec load_n(const float* p, int n) {
    float lanes[4] = {0.0F, 0.0F, 0.0F, 0.0F};
    std::memcpy(lanes, p, sizeof(float) * static_cast<unsigned>(n));
    return load(lanes);
  }
  inline void store(float* p) const { vst1q_f32(p, v); }
  inline void store_n(float* p, int n) const {
    float lanes[4];
    store(lanes);
    std::memcpy(p, lanes, sizeof(float) * static_cast<unsigned>(n));
  }
};

static inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
static inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
static inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
static inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
static inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
static inline Vec max(Vec a, Vec b) { return {vmaxq_f32(a.v, b.v)}; }
static inline Vec min(Vec a, Vec b) { return {vminq_f32(a.v, b.v)}; }
static inline Vec round(Vec a) { return {vrndnq_f32(a.v)}; }
// x * 2^n, where t = n + 1.5 * 2^23: its last bits are n, added to the exponent of x
static inline Vec add_exponent(Vec x, Vec t) {
  return {vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x.v), vshlq_n_s32(vreinterpretq_s32_f32(t.v), 23)))};
}
// rounded to the nearest integers within [0, 255]
static inline void store_bytes(Vec a, std::uint8_t* p) {
  const uint16x4_t shorts = vqmovn_u32(vcvtnq_u32_f32(a.v));
  const std::uint32_t four = vget_lane_u32(vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(shorts, shorts))), 0);
  std::memcpy(p, &four, sizeof four);
}
static inline float reduce_add(Vec a) { return vaddvq_f32(a.v); }
static inline float reduce_max(Vec a) { return vmaxvq_f32(a.v); }

}  // namespace crumb::neon
