// Weights of bfloat16 for products of float32: half the memory, and half of the time where few rows wait for the weights to be
// read. Activations are not rounded, nor is any product or sum.
//
// Two vectors of a panel's line share a register's worth of memory, one in the lower and one in the upper halves of its lanes:
// what makes each of them float32 is one instruction, which H supplies as lower and upper.
#pragma once

#include <cstdint>

#include "gemm.h"

namespace crumb::generic {

template <class V, class H>
struct Bf16Weights : Float32<V> {
  using Float = Float32<V>;
  using Weight = std::uint16_t;

  static constexpr int place(int column) {
    const int pair = column % (2 * V::width);
    return column - pair + 2 * (pair % V::width) + pair / V::width;
  }
  static inline V load(const Weight* line, int n) {
    const Weight* both = line + n / 2 * (2 * V::width);
    return n % 2 == 0 ? H::lower(both) : H::upper(both);
  }

  using Float::store;
  // Rounded to the nearest, ties to even. Weights are finite (weights.cpp).
  static inline void store(V v, Weight* p, int lanes) {
    std::uint32_t bits[V::width];
    __builtin_memcpy(bits, &v, sizeof bits);
    for (int i = 0; i < lanes; ++i) p[i] = static_cast<Weight>((bits[i] + 0x7FFFU + (bits[i] >> 16 & 1U)) >> 16);
  }
};

}  // namespace crumb::generic
