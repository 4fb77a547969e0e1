// Softmax attention of one head over one text, over a product P (gemm.h).
//
// Enters: the head's query, key and value columns. Leaves: its output columns. Keys are met in chunks, so memory is O(length).
// A softmax weight is 2^(score - shift): any shift gives the same softmax, but its sum must neither overflow nor vanish. By
// Cauchy and Schwarz |q| max |k| is above every score of a row and -|q| max |k| below, so where that is small enough it is the
// shift, and weights leave the first product's registers finished: there is no score matrix. Otherwise a pass over the keys
// finds the row's true maximum first. A row's bits depend on its own text only.
#pragma once

#include <type_traits>

#include "gemm.h"
#include "math.h"

namespace crumb::generic {

template <class P>
struct Attention {
  using D = typename P::Format;
  using V = typename D::Vec;
  using Element = typename D::Element;
  static constexpr int W = V::width;
  static constexpr int NR = P::panel;
  static constexpr int kChunk = 128;                                                                // keys a step
  static constexpr int kQueries = P::row_tile * (48 / P::row_tile > 0 ? 48 / P::row_tile : 1);  // rows whose weights stay in L1
  static constexpr float kLog2e = 1.44269504088896341F;
  static constexpr float kBound = 60.0F;  // the largest to shift by: 2^-120 is the least weight then, far from where float32 ends
  static_assert(kChunk % NR == 0 && kChunk % P::step == 0);

  static int round_up(int n, int to) { return (n + to - 1) / to * to; }

  // Where the pieces of the scratch lie, in floats; each begins on a cache line.
  struct Layout {
    std::size_t keys, values, weights, output, sums, shift, end;

    Layout(int length, int head_size) {
      const auto floats = [](std::size_t elements) { return (elements * sizeof(Element) / sizeof(float) + 31) / 16 * 16; };
      const auto columns = static_cast<std::size_t>(round_up(head_size, NR));
      const auto rows = static_cast<std::size_t>(kQueries);
      keys = 0;
      values = keys + floats(static_cast<std::size_t>(round_up(length, NR)) * static_cast<std::size_t>(head_size));
      weights = values + floats(static_cast<std::size_t>(round_up(length, P::step)) * columns);
      output = weights + floats(rows * kChunk);
      sums = output + rows * columns;
      shift = sums + rows * W;
      end = shift + rows;
    }
  };

  static std::size_t scratch(int length, int head_size) { return Layout(length, head_size).end; }

  // One step's neighbours in k, moved as one.
  struct Step {
    Element e[D::depth];
  };

  // Keys as panels over tokens, [token panel][head_size / depth][NR][depth]: the product with a query row gives neighbouring
  // scores.
  static void pack_keys(const AttentionJob& job, Element* to) {
    const auto* key = static_cast<const Element*>(job.key);
    for (int panel = 0; panel < job.length; panel += NR) {
      const int count = job.length - panel < NR ? job.length - panel : NR;
      auto* at = reinterpret_cast<Step*>(to + static_cast<std::ptrdiff_t>(panel) * job.head_size);
      for (int t = 0; t < NR; ++t) {
        const auto* from = reinterpret_cast<const Step*>(key + (panel + t) * job.stride);
        for (int d = 0; d < job.head_size / D::depth; ++d) at[d * NR + t] = t < count ? from[d] : Step{};
      }
    }
  }

  // Values as panels over the head's columns, [column panel][tokens / depth][NR][depth]
  static void pack_values(const AttentionJob& job, Element* to) {
    const auto* value = static_cast<const Element*>(job.value);
    const int tokens = round_up(job.length, P::step);
    for (int panel = 0; panel < job.head_size; panel += NR) {
      const int count = job.head_size - panel < NR ? job.head_size - panel : NR;
      Element* at = to + static_cast<std::ptrdiff_t>(panel / NR) * tokens * NR;
      for (int t = 0; t < tokens; t += D::depth) {
        const Element* from = value + t * job.stride + panel;
        Element* line = at + static_cast<std::ptrdiff_t>(t) * NR;
        if (count == NR && t + D::depth <= job.length) {
          for (int d = 0; d < NR; ++d) {
            for (int e = 0; e < D::depth; ++e) line[d * D::depth + e] = from[e * job.stride + d];
          }
          continue;
        }
        for (int d = 0; d < NR; ++d) {
          for (int e = 0; e < D::depth; ++e) {
            line[d * D::depth + e] = t + e < job.length && d < count ? from[e * job.stride + d] : Element{};
          }
        }
      }
    }
  }

  // |row|, lanes summed in a fixed order
  static float norm(const Element* row, int n) {
    V squares = V::set1(0.0F);
    for (int i = 0; i < n; i += W) {
      const V v = D::read(row + i, n - i < W ? n - i : W);
      squares = fma(v, v, squares);
    }
    return __builtin_sqrtf(reduce_add(squares));
  }

  // 2^(factor score - shift). Exact weights take the fraction before the shift, a whole number, is off: scores far below their
  // shift would lose its last bits.
  static V weight(V score, V factor, V shift) {
    if constexpr (D::exp_degree == 3) {
      const V x = fma(score, factor, V::set1(0.0F) - shift);
      return scale_exp2(exp2_fraction<V, 3>(fraction(x)), x);
    } else {
      const V x = score * factor;
      const V r = fraction(x);
      return scale_exp2(exp2_fraction<V, D::exp_degree>(r), (x - r) - shift);
    }
  }

  // Weights as elements, and its sum. Lanes behind the last key become zero.
  struct StoreWeights {
    Element* weights;
    float* sums;
    const float* shift;
    float factor;
    inline void operator()(V score, int row, int column, int lanes) const {
      V p = weight(score, V::set1(factor), V::set1(shift[row]));
      if (lanes < W) {
        float head[W];
        p.store(head);
        p = V::load_n(head, lanes);
      }
      (V::load(sums + row * W) + p).store(sums + row * W);
      D::store(p, weights + row * kChunk + column, W);
    }
  };

  // The largest factor score of each row, kept in lane 0.
  struct StoreMaximum {
    float* maxima;
    float factor;
    inline void operator()(V score, int row, int, int lanes) const {
      float all[W];
      (score * V::set1(factor)).store(all);
      for (int i = 0; i < lanes; ++i) {
        if (all[i] > maxima[row]) maxima[row] = all[i];
      }
    }
  };

  static void run(const AttentionJob& job) {
    const int d = job.head_size;
    const float factor = job.scale * kLog2e;
    const Layout layout(job.length, d);
    auto* keys = reinterpret_cast<Element*>(job.scratch + layout.keys);
    auto* values = reinterpret_cast<Element*>(job.scratch + layout.values);
    auto* weights = reinterpret_cast<Element*>(job.scratch + layout.weights);
    float* output = job.scratch + layout.output;
    float* sums = job.scratch + layout.sums;
    float* shift = job.scratch + layout.shift;
    const int columns = round_up(d, NR);
    const int tokens = round_up(job.length, P::step);
    const std::ptrdiff_t key_stride = static_cast<std::ptrdiff_t>(NR) * d;
    pack_keys(job, keys);
    pack_values(job, values);
    float longest = 0.0F;
    for (int t = 0; t < job.length; ++t) {
      const float size = norm(static_cast<const Element*>(job.key) + t * job.stride, d);
      longest = size > longest ? size : longest;
    }

    for (int q0 = job.query_begin; q0 < job.query_end; q0 += kQueries) {
      const int rows = job.query_end - q0 < kQueries ? job.query_end - q0 : kQueries;
      const Element* query = static_cast<const Element*>(job.query) + q0 * job.stride;
      bool bounded = true;
      for (int r = 0; r < rows; ++r) {
        shift[r] = __builtin_ceilf(norm(query + r * job.stride, d) * longest * factor);
        bounded = bounded && shift[r] <= kBound;
      }
      if (!bounded) {
        float maxima[kQueries];
        for (float& m : maxima) m = -3.0e38F;
        P::gemm(query, job.stride, rows, d, keys, key_stride, job.length, StoreMaximum{maxima, factor});
        for (int r = 0; r < rows; ++r) {
          if (!(shift[r] <= kBound)) shift[r] = __builtin_ceilf(maxima[r]);
        }
      }
      for (int i = 0; i < rows * W; ++i) sums[i] = 0.0F;
      for (int i = 0; i < rows * columns; ++i) output[i] = 0.0F;
      for (int k0 = 0; k0 < job.length; k0 += kChunk) {
        const int count = job.length - k0 < kChunk ? job.length - k0 : kChunk;
        P::gemm(query, job.stride, rows, d, keys + static_cast<std::ptrdiff_t>(k0) * d, key_stride, count,
                StoreWeights{weights, sums, shift, factor});
        for (int i = round_up(count, W); i < round_up(count, P::step); i += W) {
          for (int r = 0; r < rows; ++r) D::store(V::set1(0.0F), weights + r * kChunk + i, W);
        }
        P::gemm(weights, kChunk, rows, round_up(count, P::step), values + static_cast<std::ptrdiff_t>(k0) * NR,
                static_cast<std::ptrdiff_t>(tokens) * NR, d, StoreAdd<V>{output, columns});
      }
      auto* out = static_cast<Element*>(job.out) + q0 * job.out_stride;
      for (int r = 0; r < rows; ++r) {
        const V share = V::set1(1.0F / reduce_add(V::load(sums + r * W)));
        for (int i = 0; i < d; i += W) {
          D::store(V::load(output + r * columns + i) * share, out + r * job.out_stride + i, d - i < W ? d - i : W);
        }
      }
    }
  }
};

}  // namespace crumb::generic
