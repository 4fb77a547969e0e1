// Softmax attention of one head over one text, over a vector vocabulary V.
//
// Enters: the head's query, key and value columns. Leaves: its output columns. Keys are met in chunks of `kChunk` counted
// from the text's first token, with a running maximum and sum per query (online softmax, Milakov and Gimelshein, arXiv
// 1805.02867), so memory is O(length), no logit can overflow exp, and a row's bits depend on its own text only.
#pragma once

#include "gemm.h"
#include "math.h"

namespace crumb::generic {

template <class V, int MR, int NV>
struct Attention {
  static constexpr int NR = NV * V::width;
  static constexpr int kChunk = 128;          // keys a step; a multiple of every NR
  static constexpr int kQueries = MR * (48 / MR > 0 ? 48 / MR : 1);  // query rows whose scores stay in L1
  static_assert(kChunk % NR == 0);

  static std::size_t padded(int n) { return static_cast<std::size_t>((n + NR - 1) / NR * NR); }

  static std::size_t scratch(int length, int head_size) {
    const std::size_t keys = padded(length) * static_cast<std::size_t>(head_size);
    const std::size_t values = static_cast<std::size_t>(length) * padded(head_size);
    const std::size_t scores = static_cast<std::size_t>(kQueries) * kChunk;
    const std::size_t sums = 2 * static_cast<std::size_t>(kQueries);
    return keys + values + scores + sums + 64;
  }

  // keys as panels over tokens, [token panel][head_size][NR]: the product with a query row gives neighbouring scores
  static void pack_keys(const AttentionJob& job, float* to) {
    for (int panel = 0; panel < job.length; panel += NR) {
      const int count = job.length - panel < NR ? job.length - panel : NR;
      float* at = to + static_cast<std::ptrdiff_t>(panel) * job.head_size;
      for (int t = 0; t < NR; ++t) {
        const float* from = job.key + (panel + t) * job.stride;
        for (int d = 0; d < job.head_size; ++d) at[d * NR + t] = t < count ? from[d] : 0.0F;
      }
    }
  }

  // values as panels over the head's columns, [column panel][token][NR]
  static void pack_values(const AttentionJob& job, float* to) {
    for (int panel = 0; panel < job.head_size; panel += NR) {
      const int count = job.head_size - panel < NR ? job.head_size - panel : NR;
      float* at = to + static_cast<std::ptrdiff_t>(panel / NR) * job.length * NR;
      for (int t = 0; t < job.length; ++t) {
        const float* from = job.value + t * job.stride + panel;
        for (int d = 0; d < NR; ++d) at[static_cast<std::ptrdiff_t>(t) * NR + d] = d < count ? from[d] : 0.0F;
      }
    }
  }

  // One query row against one chunk: scores become weights in place, tail lanes 0; returns by how much the output so far
  // has to be scaled.
  static float softmax_step(float* scores, int keys, float scale, float& running_max, float& running_sum) {
    constexpr int W = V::width;
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
      const V p = exp(V::load(scores + i) * factor + shift);
      p.store(scores + i);
      total = total + p;
    }
    float sum = reduce_add(total);
    if (whole < keys) {
      const V p = exp(V::load_n(scores + whole, keys - whole) * factor + shift);
      p.store_n(scores + whole, keys - whole);
      for (int i = whole; i < keys; ++i) sum += scores[i];
    }
    const V change = exp(V::set1(running_max - top));
    float first[W];
    change.store(first);
    running_sum = running_sum * first[0] + sum;
    running_max = top;
    return first[0];
  }

  static void run(const AttentionJob& job) {
    constexpr int W = V::width;
    const int d = job.head_size;
    float* keys = job.scratch;
    float* values = keys + padded(job.length) * static_cast<std::size_t>(d);
    float* scores = values + static_cast<std::size_t>(job.length) * padded(d);
    float* running_max = scores + static_cast<std::size_t>(kQueries) * kChunk;
    float* running_sum = running_max + kQueries;
    pack_keys(job, keys);
    pack_values(job, values);

    for (int q0 = job.query_begin; q0 < job.query_end; q0 += kQueries) {
      const int rows = job.query_end - q0 < kQueries ? job.query_end - q0 : kQueries;
      float* out = job.out + q0 * job.out_stride;
      for (int r = 0; r < rows; ++r) {
        running_max[r] = -3.0e38F;
        running_sum[r] = 0.0F;
        for (int i = 0; i < d; ++i) out[r * job.out_stride + i] = 0.0F;
      }
      for (int k0 = 0; k0 < job.length; k0 += kChunk) {
        const int count = job.length - k0 < kChunk ? job.length - k0 : kChunk;
        gemm<V, MR, NV>(job.query + q0 * job.stride, job.stride, rows, d, keys + static_cast<std::ptrdiff_t>(k0) * d,
                        static_cast<std::ptrdiff_t>(NR) * d, count, StorePlain<V>{scores, kChunk});
        for (int r = 0; r < rows; ++r) {
          const float change =
              softmax_step(scores + r * kChunk, count, job.scale, running_max[r], running_sum[r]);
          if (k0 > 0 && change != 1.0F) scale_row(out + r * job.out_stride, d, change);
        }
        gemm<V, MR, NV>(scores, kChunk, rows, count, values + static_cast<std::ptrdiff_t>(k0) * NR,
                        static_cast<std::ptrdiff_t>(job.length) * NR, d, StoreAdd<V>{{out, job.out_stride}, nullptr});
      }
      for (int r = 0; r < rows; ++r) scale_row(out + r * job.out_stride, d, 1.0F / running_sum[r]);
    }
    static_assert(W <= kChunk);
  }

  static void scale_row(float* x, int n, float factor) {
    constexpr int W = V::width;
    const V f = V::set1(factor);
    int i = 0;
    for (; i + W <= n; i += W) (V::load(x + i) * f).store(x + i);
    if (i < n) (V::load_n(x + i, n - i) * f).store_n(x + i, n - i);
  }
};

}  // namespace crumb::generic
