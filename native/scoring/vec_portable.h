// The scans' vocabulary without any instruction set: four lanes of the compiler's own vectors, numbers one by one.
#pragma once

#include <cstring>

#include "../kernels/vec_portable.h"
#include "stored.h"

namespace crumb::scoring::portable {

// IEEE half to float32, exact
static inline float half(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  const std::uint32_t exponent = bits >> 10 & 31U;
  const std::uint32_t fraction = bits & 1023U;
  std::uint32_t made = 0;
  if (exponent == 0) {  // zero or subnormal: the fraction counts steps of 2^-24
    const float value = static_cast<float>(fraction) * 5.9604644775390625e-8F;
    std::memcpy(&made, &value, sizeof made);
  } else {
    made = (exponent == 31 ? 255U : exponent + 112U) << 23 | fraction << 13;
  }
  made |= sign;
  float value;
  std::memcpy(&value, &made, sizeof value);
  return value;
}

struct Scan {
  using Vec = crumb::portable::Vec;
  static constexpr int rows = 2;
  static constexpr int queries = 4;
  static constexpr int direct_rows = 4;
  static constexpr int fewest_for_gemm = 3;

  static inline Vec four(float a, float b, float c, float d) { return {Vec::Lanes{a, b, c, d}}; }

  struct F32 : Elements<Scan, 4> {
    static inline Vec load(const unsigned char* row, int at) {
      Vec v;
      std::memcpy(&v.v, row + at * 4, sizeof v.v);
      return v;
    }
  };
  struct F16 : Elements<Scan, 2> {
    static inline Vec load(const unsigned char* row, int at) {
      std::uint16_t h[4];
      std::memcpy(h, row + at * 2, sizeof h);
      return four(half(h[0]), half(h[1]), half(h[2]), half(h[3]));
    }
  };
  template <class Byte>
  struct Bytes : Elements<Scan, 1> {
    static inline Vec load(const unsigned char* row, int at) {
      const auto value = [&](int i) { return static_cast<float>(static_cast<Byte>(row[at + i])); };
      return four(value(0), value(1), value(2), value(3));
    }
  };
  using I8 = Bytes<signed char>;
  using U8 = Bytes<unsigned char>;
  struct Bits : PackedBits<Scan> {
    static inline Vec load(const unsigned char* row, int at) {
      const int bits = row[at / 8] >> (at % 8);
      const auto value = [&](int i) { return static_cast<float>(bits >> i & 1); };
      return four(value(0), value(1), value(2), value(3));
    }
  };

  static inline void reduce4(Vec a, Vec b, Vec c, Vec d, float* to) {
    to[0] = (a.v[0] + a.v[1]) + (a.v[2] + a.v[3]);
    to[1] = (b.v[0] + b.v[1]) + (b.v[2] + b.v[3]);
    to[2] = (c.v[0] + c.v[1]) + (c.v[2] + c.v[3]);
    to[3] = (d.v[0] + d.v[1]) + (d.v[2] + d.v[3]);
  }

  static constexpr int wide = 8;
  using Wide = std::int32_t;
  struct Widened {
    std::int32_t v[wide];
  };
  static inline Wide wide_zero() { return 0; }
  template <bool Signed>
  static inline Widened widen(const unsigned char* p) {
    Widened w;
    for (int i = 0; i < wide; ++i) w.v[i] = Signed ? static_cast<signed char>(p[i]) : static_cast<int>(p[i]);
    return w;
  }
  static inline Wide madd(Wide sum, const Widened& a, const std::int16_t* q) {
    for (int i = 0; i < wide; ++i) sum += a.v[i] * q[i];
    return sum;
  }
  static inline std::int32_t wide_sum(Wide sum) { return sum; }

  static constexpr int bit_bytes = 8;
  static inline std::uint64_t differ_n(const unsigned char* row, const std::uint64_t* bits, int bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, row, static_cast<std::size_t>(bytes));
    return word ^ *bits;
  }
  static inline std::uint64_t differ(const unsigned char* row, const std::uint64_t* bits) { return differ_n(row, bits, 8); }
  template <int Planes>
  struct BitSum {
    std::int64_t counts[Planes] = {};
    inline void add(int plane, std::uint64_t different, const std::uint64_t* weights) {
      counts[plane] += __builtin_popcountll(different & *weights);
    }
    inline void settle() {}
    inline std::int32_t total() const {
      std::int64_t sum = 0;
      for (int p = 0; p < Planes; ++p) sum += counts[p] << p;
      return static_cast<std::int32_t>(sum);
    }
  };
};

}  // namespace crumb::scoring::portable
