// Bytes instead of floats: rows of activations and panels of weights as an int8 product wants them.
//
// Enters: float32 or elements. Leaves: bytes with their steps. Activations are asymmetric, one step and zero a row, so a row's
// bytes depend on that row only; weights are symmetric, one step per output column. D (gemm.h) supplies besides: offset, what
// is taken off a byte where they are signed, and store_bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../table.h"

namespace crumb::generic {

// An operand row: [slots] bytes, then what 1 is worth, then what the row's zero takes away from every column's sum of weights.
struct RowScale {
  float step;
  float zero;  // -step * zero
};

static inline std::ptrdiff_t byte_operand_stride(const PackedLinear& w) {
  return (w.slots + static_cast<std::ptrdiff_t>(sizeof(RowScale)) + 63) / 64 * 64;
}

static inline int clamp_byte(int value) { return value < 0 ? 0 : value > 255 ? 255 : value; }

// Rounds to the nearest, ties to even, as the vectors do.
static inline int round_to_int(float x) { return static_cast<int>(__builtin_rintf(x)); }

// The least and the largest value of a row and 0; at(i) reads W values.
template <class V, class At>
static inline void range(At at, int n, float& low, float& high) {
  V least = V::set1(0.0F);
  V most = V::set1(0.0F);
  for (int i = 0; i < n; i += V::width) {
    const V v = at(i);
    least = min(least, v);
    most = max(most, v);
  }
  low = 0.0F - reduce_max(V::set1(0.0F) - least);
  high = reduce_max(most);
}

// round(value * factor + shift) as bytes
template <class D, class At>
static inline void to_bytes(At at, int n, float factor, float shift, std::uint8_t* to) {
  using V = typename D::Vec;
  constexpr int W = V::width;
  const int whole = n / W * W;
  for (int i = 0; i < whole; i += W) D::store_bytes(fma(at(i), V::set1(factor), V::set1(shift)), to + i);
  if (whole < n) {
    std::uint8_t tail[W];
    D::store_bytes(fma(at(whole), V::set1(factor), V::set1(shift)), tail);
    for (int i = whole; i < n; ++i) to[i] = tail[i - whole];
  }
}

// One row; F reads elements to float32, and may know how to do so 32 at a time.
template <class D, class F>
static inline void quantize_row(const PackedLinear& w, const typename F::Element* x, std::uint8_t* to) {
  using V = typename D::Vec;
  constexpr int W = V::width;
  const float* shrink = w.split.what == Split::What::rows ? w.split.thirds : nullptr;
  const auto at = [&](int i) {
    const int lanes = w.in - i < W ? w.in - i : W;
    const V v = F::read(x + i, lanes);
    return shrink == nullptr ? v : v * (lanes == W ? V::load(shrink + i) : V::load_n(shrink + i, lanes));
  };
  constexpr bool knows = requires(float& value) { F::range(x, 32, value, value); };
  const bool quick = knows && D::offset == 0 && shrink == nullptr && w.in % 32 == 0;
  float low;
  float high;
  if constexpr (knows) {
    if (quick) F::range(x, w.in, low, high);
  }
  if (!quick) range<V>(at, w.in, low, high);
  const float step = high - low > 1.0e-30F ? (high - low) / 255.0F : 1.0F;
  const float inverse = 1.0F / step;
  const int zero = clamp_byte(round_to_int(-low * inverse));
  if constexpr (knows) {
    if (quick) F::to_bytes(x, w.in, inverse, static_cast<float>(zero), to);
  }
  if (!quick) to_bytes<D>(at, w.in, inverse, static_cast<float>(zero), to);
  const auto byte = [](int value) { return static_cast<std::uint8_t>(clamp_byte(value) - D::offset); };
  for (int i = 0; i < w.split.count; ++i) {
    const int column = w.split.columns[i];
    std::uint8_t* further = to + w.in + 2 * i;
    if (w.split.what == Split::What::weights) {
      further[0] = further[1] = to[column];
      continue;
    }
    float value[W];
    F::read(x + column, 1).store(value);
    const int first = static_cast<std::uint8_t>(to[column] + D::offset) - zero;
    const int rest = round_to_int(value[0] * inverse) - first;
    further[0] = byte(rest / 2 + zero);
    further[1] = byte(rest - rest / 2 + zero);
  }
  for (int i = w.in + 2 * w.split.count; i < w.slots; ++i) to[i] = 0;
  const RowScale scale{step, -step * static_cast<float>(zero - D::offset)};
  __builtin_memcpy(to + w.slots, &scale, sizeof scale);
}

// One column of a panel, `stride` bytes from one group of `depth` slots to the next; returns the sum of its weights. A split
// column's weight is dealt over its three slots: to a third of the activation each, parts that sum to 3 w / step, or to the
// whole one, parts that sum to w / step.
template <int depth>
static inline int quantize_column(const PackedLinear& layout, const float* row, float inverse, std::int8_t* to,
                                  std::ptrdiff_t stride) {
  int sum = 0;
  const auto slot = [&](int i) -> std::int8_t& { return to[i / depth * stride + i % depth]; };
  const auto put = [&](int i, int value) {
    slot(i) = static_cast<std::int8_t>(value);
    sum += value;
  };
  const int whole = layout.in / depth * depth;
  for (int i = 0; i < whole; i += depth) {
    for (int e = 0; e < depth; ++e) {
      const int value = round_to_int(row[i + e] * inverse);
      to[i / depth * stride + e] = static_cast<std::int8_t>(value);
      sum += value;
    }
  }
  for (int i = whole; i < layout.in; ++i) put(i, round_to_int(row[i] * inverse));
  for (int s = 0; s < layout.split.count; ++s) {
    const int i = layout.split.columns[s];
    const int total = round_to_int(row[i] * inverse * (layout.split.what == Split::What::rows ? 3.0F : 1.0F));
    sum -= round_to_int(row[i] * inverse);
    put(i, total / 3);
    put(layout.in + 2 * s, (total - total / 3) / 2);
    put(layout.in + 2 * s + 1, total - total / 3 - (total - total / 3) / 2);
  }
  return sum;
}

// One panel [slots / depth][columns][depth].
template <class D, int columns>
static void quantize_panel(const PackedLinear& layout, const float* const* rows, int count, void* weights, float* steps,
                           float* sums) {
  constexpr std::ptrdiff_t stride = columns * D::depth;
  auto* panel = static_cast<std::int8_t*>(weights);
  for (std::ptrdiff_t i = 0; i < layout.slots * static_cast<std::ptrdiff_t>(columns); ++i) panel[i] = 0;
  for (int c = 0; c < columns; ++c) {
    steps[c] = sums[c] = 0.0F;
    if (c >= count) continue;
    const float* row = rows[c];
    const float* thirds = layout.split.what == Split::What::weights ? layout.split.thirds : nullptr;
    float top = 0.0F;
    for (int i = 0; i < layout.in; ++i) {
      const float size = __builtin_fabsf(row[i]) * (thirds == nullptr ? 1.0F : thirds[i]);
      top = size > top ? size : top;
    }
    float step = top > 0.0F ? top / 127.0F : 1.0F;
    std::int8_t* column = panel + c * D::depth;
    int sum = quantize_column<D::depth>(layout, row, 1.0F / step, column, stride);
    if constexpr (D::pair_limit > 0) {
      // Neighbours meet in one 16-bit sum, which must hold 255 times both
      for (;;) {
        int worst = 0;
        for (int i = 0; i + 1 < layout.slots; i += 2) {
          const std::int8_t* pair = column + i / D::depth * stride + i % D::depth;
          const int size = __builtin_abs(pair[0]) + __builtin_abs(pair[1]);
          worst = size > worst ? size : worst;
        }
        if (worst <= D::pair_limit) break;
        step *= (static_cast<float>(worst) + 0.5F) / static_cast<float>(D::pair_limit);
        sum = quantize_column<D::depth>(layout, row, 1.0F / step, column, stride);
      }
    }
    steps[c] = step;
    sums[c] = static_cast<float>(sum) * step;
  }
}

// What a sum of byte products is worth, plus bias.
template <class D>
struct Rescale {
  const std::byte* scales;  // of row 0
  std::ptrdiff_t stride;
  const float* step;
  const float* sums;
  const float* bias;
  inline typename D::Vec operator()(typename D::Sum sum, int row, int column) const {
    using V = typename D::Vec;
    RowScale scale;
    __builtin_memcpy(&scale, scales + row * stride, sizeof scale);
    const V rest = fma(V::set1(scale.zero), V::load(sums + column), V::load(bias + column));
    return fma(D::to_float(sum) * V::set1(scale.step), V::load(step + column), rest);
  }
};

}  // namespace crumb::generic
