// The scans' vocabulary of NEON: part of every AArch64.
#pragma once

#include <cstring>

#include "../kernels/vec_neon.h"
#include "stored.h"

namespace crumb::scoring::neon {

struct Scan {
  using Vec = crumb::neon::Vec;
  // 4 x 6 sums, 4 rows and a query fit the 32 registers
  static constexpr int rows = 4;
  static constexpr int queries = 6;
  static constexpr int direct_rows = 8;
  static constexpr int fewest_for_gemm = 3;

  struct F32 : Elements<Scan, 4> {
    static inline Vec load(const unsigned char* row, int at) { return {vreinterpretq_f32_u8(vld1q_u8(row + at * 4))}; }
  };
  struct F16 : Elements<Scan, 2> {
    static inline Vec load(const unsigned char* row, int at) {
      return {vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(row + at * 2)))};
    }
  };
  static inline std::uint32_t word(const unsigned char* p) {
    std::uint32_t w;
    std::memcpy(&w, p, sizeof w);
    return w;
  }
  struct I8 : Elements<Scan, 1> {
    static inline Vec load(const unsigned char* row, int at) {
      const int16x8_t wide = vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(word(row + at))));
      return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)))};
    }
  };
  struct U8 : Elements<Scan, 1> {
    static inline Vec load(const unsigned char* row, int at) {
      const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(word(row + at))));
      return {vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)))};
    }
  };
  struct Bits : PackedBits<Scan> {
    static inline Vec load(const unsigned char* row, int at) {
      const std::uint32_t lanes[4] = {1, 2, 4, 8};
      const uint32x4_t set = vtstq_u32(vdupq_n_u32(static_cast<std::uint32_t>(row[at / 8] >> (at % 8))), vld1q_u32(lanes));
      return {vreinterpretq_f32_u32(vandq_u32(set, vreinterpretq_u32_f32(vdupq_n_f32(1.0F))))};
    }
  };

  static inline void reduce4(Vec a, Vec b, Vec c, Vec d, float* to) {
    vst1q_f32(to, vpaddq_f32(vpaddq_f32(a.v, b.v), vpaddq_f32(c.v, d.v)));
  }

  static constexpr int wide = 16;
  using Wide = int32x4_t;
  static inline Wide wide_zero() { return vdupq_n_s32(0); }
  template <bool Signed>
  static inline int16x8x2_t widen(const unsigned char* p) {
    const uint8x16_t bytes = vld1q_u8(p);
    if constexpr (Signed) {
      const int8x16_t numbers = vreinterpretq_s8_u8(bytes);
      return {{vmovl_s8(vget_low_s8(numbers)), vmovl_s8(vget_high_s8(numbers))}};
    } else {
      return {{vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))), vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(bytes)))}};
    }
  }
  static inline Wide madd(Wide sum, int16x8x2_t a, const std::int16_t* q) {
    const int16x8_t low = vld1q_s16(q);
    const int16x8_t high = vld1q_s16(q + 8);
    sum = vmlal_s16(sum, vget_low_s16(a.val[0]), vget_low_s16(low));
    sum = vmlal_s16(sum, vget_high_s16(a.val[0]), vget_high_s16(low));
    sum = vmlal_s16(sum, vget_low_s16(a.val[1]), vget_low_s16(high));
    return vmlal_s16(sum, vget_high_s16(a.val[1]), vget_high_s16(high));
  }
  static inline std::int32_t wide_sum(Wide sum) { return vaddvq_s32(sum); }

  static constexpr int bit_bytes = 16;
  static inline uint8x16_t of(const std::uint64_t* words) { return vreinterpretq_u8_u64(vld1q_u64(words)); }
  static inline uint8x16_t differ(const unsigned char* row, const std::uint64_t* bits) { return veorq_u8(vld1q_u8(row), of(bits)); }
  static inline uint8x16_t differ_n(const unsigned char* row, const std::uint64_t* bits, int bytes) {
    unsigned char padded[16] = {};
    std::memcpy(padded, row, static_cast<std::size_t>(bytes));
    return differ(padded, bits);
  }
  template <int Planes>
  struct BitSum {
    uint8x16_t step = vdupq_n_u8(0);  // at most 8 * (1 + 2 + 4 + 8) = 120
    uint32x4_t sum = vdupq_n_u32(0);
    inline void add(int plane, uint8x16_t different, const std::uint64_t* weights) {
      const uint8x16_t counts = vcntq_u8(vandq_u8(different, of(weights)));
      step = vaddq_u8(step, vshlq_u8(counts, vdupq_n_s8(static_cast<std::int8_t>(plane))));
    }
    inline void settle() {
      sum = vpadalq_u16(sum, vpaddlq_u8(step));
      step = vdupq_n_u8(0);
    }
    inline std::int32_t total() const { return static_cast<std::int32_t>(vaddvq_u32(sum)); }
  };
};

}  // namespace crumb::scoring::neon
