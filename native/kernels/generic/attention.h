// Softmax attention of one head over one text, over a product P (gemm.h).
//
// Enters: the head's query, key and value columns. Leaves: its output columns. Keys are met in chunks of `kChunk` counted
// from the text's first token, with a running maximum and sum per query (online softmax, Milakov and Gimelshein, arXiv
// 1805.02867), so memory is O(length), no logit can overflow exp, and a row's bits depend on its own text only.
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
  static constexpr int kChunk = 128;                                 // keys a step
  static constexpr int kQueries = P::row_tile * (48 / P::row_tile > 0 ? 48 / P::row_tile : 1);  // query rows whose scores stay in L1
  static constexpr bool kSameElement = std::is_same_v<Element, float>;
  static constexpr float kLog2e = 1.44269504088896341F;
  static_assert(kChunk % NR == 0 && kChunk % P::step == 0);

  static int round_up(int n, int to) { return (n + to - 1) / to * to; }

  // Where the pieces of the scratch lie, in floats; each begins on a cache line.
  struct Layout {
    std::size_t keys, values, scores, weights, output, sums, end;

    Layout(int length, int head_size) {
      const auto floats = [](std::size_t elements) { return (elements * sizeof(Element) / sizeof(float) + 31) / 16 * 16; };
      const auto tokens = static_cast<std::size_t>(round_up(length, NR));
      const auto columns = static_cast<std::size_t>(round_up(head_size, NR));
      const auto cells = static_cast<std::size_t>(kQueries) * kChunk;
      keys = 0;
      values = keys + floats(tokens * static_cast<std::size_t>(head_size));
      scores = values + floats(static_cast<std::size_t>(round_up(length, P::step)) * columns);
      weights = scores + cells;
      output = weights + (kSameElement ? 0 : floats(cells));
      sums = output + static_cast<std::size_t>(kQueries) * columns;
      end = sums + 2 * static_cast<std::size_t>(kQueries);
    }
  };

  static std::size_t scratch(int length, int head_size) { return Layout(length, head_size).end; }

  // Keys as panels over tokens, [token panel][head_size / depth][NR][depth]: the product with a query row gives neighbouring
  // scores.
  static void pack_keys(const AttentionJob& job, Element* to) {
    const auto* key = static_cast<const Element*>(job.key);
    for (int panel = 0; panel < job.length; panel += NR) {
      const int count = job.length - panel < NR ? job.length - panel : NR;
      Element* at = to + static_cast<std::ptrdiff_t>(panel) * job.head_size;
      for (int t = 0; t < NR; ++t) {
        const Element* from = key + (panel + t) * job.stride;
        for (int d = 0; d < job.head_size; d += D::depth) {
          for (int e = 0; e < D::depth; ++e) at[d * NR + t * D::depth + e] = t < count ? from[d + e] : Element{};
        }
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
        for (int e = 0; e < D::depth; ++e) {
          const Element* from = value + (t + e) * job.stride + panel;
          const bool real = t + e < job.length;
          for (int d = 0; d < NR; ++d) {
            at[static_cast<std::ptrdiff_t>(t) * NR + d * D::depth + e] = real && d < count ? from[d] : Element{};
          }
        }
      }
    }
  }

  static V weight(V x) { return exp2<V, D::exp_degree>(x); }

  // One query row against one chunk, in powers of two (`scale` holds log2 e): weights from scores, zeros up to a multiple of
  // the step behind them; returns by how much the output so far has to be scaled.
  static float softmax_step(float* scores, Element* weights, int keys, float scale, float& running_max,
                            float& running_sum) {
    const int whole = keys / W * W;
    float top = running_max;
    V best = V::set1(-3.0e38F);
    for (int i = 0; i < whole; i += W) best = max(best, V::load(scores + i));
    if (whole > 0) {
      const float value = reduce_max(best) * scale;
      if (value > top) top = value;
    }
    for (int i = whole; i < keys; ++i) {
      if (scores[i] * scale > top) top = scores[i] * scale;
    }
    // Not fma: the scaled score must round exactly as in the maximum above, or a large one could end up beyond it.
    const V shift = V::set1(-top);
    const V factor = V::set1(scale);
    V total = V::set1(0.0F);
    for (int i = 0; i < whole; i += W) {
      const V p = weight(V::load(scores + i) * factor + shift);
      D::store(p, weights + i, W);
      total = total + p;
    }
    float sum = reduce_add(total);
    if (whole < keys) {
      float tail[W];
      weight(V::load_n(scores + whole, keys - whole) * factor + shift).store(tail);
      for (int i = 0; i < W; ++i) {
        if (i >= keys - whole) tail[i] = 0.0F;
        sum += tail[i];
      }
      D::store(V::load(tail), weights + whole, W);
    }
    for (int i = round_up(keys, W); i < round_up(keys, P::step); i += W) D::store(V::set1(0.0F), weights + i, W);
    float first[W];
    exp2<V, 6>(V::set1(running_max - top)).store(first);
    running_sum = running_sum * first[0] + sum;
    running_max = top;
    return first[0];
  }

  static void run(const AttentionJob& job) {
    const int d = job.head_size;
    const Layout layout(job.length, d);
    auto* keys = reinterpret_cast<Element*>(job.scratch + layout.keys);
    auto* values = reinterpret_cast<Element*>(job.scratch + layout.values);
    float* scores = job.scratch + layout.scores;
    Element* weights = kSameElement ? reinterpret_cast<Element*>(scores)
                                    : reinterpret_cast<Element*>(job.scratch + layout.weights);
    float* output = job.scratch + layout.output;
    float* running_max = job.scratch + layout.sums;
    float* running_sum = running_max + kQueries;
    const int columns = round_up(d, NR);
    const int tokens = round_up(job.length, P::step);
    pack_keys(job, keys);
    pack_values(job, values);

    for (int q0 = job.query_begin; q0 < job.query_end; q0 += kQueries) {
      const int rows = job.query_end - q0 < kQueries ? job.query_end - q0 : kQueries;
      const Element* query = static_cast<const Element*>(job.query) + q0 * job.stride;
      for (int r = 0; r < rows; ++r) {
        running_max[r] = -3.0e38F;
        running_sum[r] = 0.0F;
        for (int i = 0; i < columns; ++i) output[r * columns + i] = 0.0F;
      }
      for (int k0 = 0; k0 < job.length; k0 += kChunk) {
        const int count = job.length - k0 < kChunk ? job.length - k0 : kChunk;
        P::gemm(query, job.stride, rows, d, keys + static_cast<std::ptrdiff_t>(k0) * d,
                        static_cast<std::ptrdiff_t>(NR) * d, count, StoreSum<V>{scores, kChunk});
        for (int r = 0; r < rows; ++r) {
          const float change = softmax_step(scores + r * kChunk, weights + r * kChunk, count, job.scale * kLog2e, running_max[r],
                                            running_sum[r]);
          if (k0 > 0 && change != 1.0F) scale_row(output + r * columns, columns, change);
        }
        P::gemm(weights, kChunk, rows, round_up(count, P::step), values + static_cast<std::ptrdiff_t>(k0) * NR,
                        static_cast<std::ptrdiff_t>(tokens) * NR, d, StoreAdd<V>{output, columns, nullptr});
      }
      auto* out = static_cast<Element*>(job.out) + q0 * job.out_stride;
      for (int r = 0; r < rows; ++r) {
        const V factor = V::set1(1.0F / running_sum[r]);
        for (int i = 0; i < d; i += W) {
          D::store(V::load(output + r * columns + i) * factor, out + r * job.out_stride + i, d - i < W ? d - i : W);
        }
      }
    }
  }

  static void scale_row(float* x, int n, float factor) {
    const V f = V::set1(factor);
    for (int i = 0; i < n; i += W) (V::load(x + i) * f).store(x + i);
  }
};

}  // namespace crumb::generic
