// Softmax attention of one head over one text, over a product P (gemm.h).
//
// Enters: the head's query, key and value columns. Leaves: its output columns. Keys are met in chunks, so memory is O(length).
// A softmax weight is 2^(score - shift): any shift gives the same softmax, but its sum must neither overflow nor vanish. By
// Cauchy and Schwarz |q| max |k| is above every score of a row and -|q| max |k| below, so where that is small enough it is the
// shift, and weights leave the first product's registers finished: there is no score matrix. The few queries whose bound is too
// large go another way, on which a pass over the keys finds their true maximum first. Which way a query goes, and so its bits,
// depend on its own text only.
#pragma once

#include <type_traits>

#include "gemm.h"
#include "math.h"
#include "scores.h"

namespace crumb::generic {

// P multiplies elements; S, if there is one, multiplies bytes for the scores of the queries near enough.
template <class P, class S = void>
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

  static constexpr bool kBytes = !std::is_void_v<S>;

  // Where the pieces of the scratch lie, in floats; each begins on a cache line.
  struct Layout {
    std::size_t keys, values, bytes, weights, output, sums, end;

    Layout(int length, int head_size) {
      const auto floats = [](std::size_t elements) { return (elements * sizeof(Element) / sizeof(float) + 31) / 16 * 16; };
      const auto columns = static_cast<std::size_t>(round_up(head_size, NR));
      const auto rows = static_cast<std::size_t>(kQueries);
      keys = 0;
      values = keys + floats(static_cast<std::size_t>(round_up(length, NR)) * static_cast<std::size_t>(head_size));
      bytes = values + floats(static_cast<std::size_t>(round_up(length, P::step)) * columns);
      weights = bytes;
      if constexpr (kBytes) weights += ByteScores<S, D>::scratch(length, head_size);
      output = weights + floats(rows * kChunk);
      sums = output + rows * columns;
      end = sums + rows * W + 2 * floats(rows * static_cast<std::size_t>(head_size));  // and both ways' queries
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
      const int steps = job.head_size / D::depth;
      int t = 0;
      if constexpr (sizeof(Step) == sizeof(float) && requires { V::transpose; }) {
        for (; t + W <= count && steps % W == 0; t += W) {
          for (int d = 0; d < steps; d += W) {
            V::transpose(key + (panel + t) * job.stride + d * D::depth, job.stride * static_cast<std::ptrdiff_t>(sizeof(Element)),
                         at + d * NR + t, NR * sizeof(Step));
          }
        }
      }
      for (; t < NR; ++t) {
        const auto* from = reinterpret_cast<const Step*>(key + (panel + t) * job.stride);
        for (int d = 0; d < steps; ++d) at[d * NR + t] = t < count ? from[d] : Step{};
      }
    }
  }

  // Values as panels over the head's columns, [column panel][tokens / depth][NR][depth]
  static void pack_values(const AttentionJob& job, Element* __restrict to) {
    const auto* __restrict value = static_cast<const Element*>(job.value);
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

  static V score(V sum) { return sum; }
  template <class Sum>
  static V score(Sum sum)
    requires(!std::is_same_v<Sum, V>)
  {
    return S::Format::score(sum);
  }

  // 2^(factor score + start - kWhole), start being whole. What is rounded to the whole exponent is taken off before anything
  // else is rounded, so the fraction is exact however large the score.
  static V weight(V score, V factor, V start) {
    const V t = fma(score, factor, start);
    return add_exponent(exp2_fraction<V, D::exp_degree>(fma(score, factor, start - t)), t);
  }

  // The same for a score that may lie any distance below its shift; at least 2^-125.
  static V far_weight(V score, V factor, V start) {
    const V x = score * factor;
    const V n = round(x);
    const V exponent = max(n + (start - V::set1(kWhole)), V::set1(-125.0F));
    return add_exponent(exp2_fraction<V, D::exp_degree>(x - n), exponent + V::set1(kWhole));
  }

  // May D make the near way's weights its own way, a whole panel at a time? It then takes exponents as numbers of `parts` of 1.
  static constexpr bool kOwnWeights = requires { D::parts; };

  // From kWhole + exponent to kWhole + parts * (127 + exponent): whole numbers below 2^24, so nothing is rounded.
  static void to_parts(float& factor, float& start)
    requires kOwnWeights
  {
    factor *= D::parts;
    start = kWhole + D::parts * (127.0F + (start - kWhole));
  }

  // 1 in the first lanes, 0 in the others
  static V first(int lanes) {
    alignas(64) static constexpr struct Steps {
      float at[2 * W];
      constexpr Steps() : at{} {
        for (int i = 0; i < W; ++i) at[i] = 1.0F;
      }
    } steps;
    return V::load(steps.at + W - (lanes < 0 ? 0 : lanes < W ? lanes : W));
  }

  // Weights as elements, and their sum. Lanes behind the last key become zero.
  template <bool near>
  struct StoreWeights {
    Element* weights;
    float* sums;
    const float* factor;
    const float* start;
    template <class Sum, int n>
    inline void row(const Sum (&sums_of)[n], int row, int column, int columns) const {
      V sum = V::load(sums + row * W);
      Element* to = weights + row * kChunk + column;
      const V by = V::set1(factor[row]);
      const V from = V::set1(start[row]);
      if constexpr (near && kOwnWeights) {
        static_assert(n == 2);
        sum = sum + D::weights(score(sums_of[0]), score(sums_of[1]), by, from, columns, to);
      } else {
        CRUMB_UNROLL
        for (int i = 0; i < n; ++i) {
          V p = near ? weight(score(sums_of[i]), by, from) : far_weight(score(sums_of[i]), by, from);
          if (columns < n * W) p = p * first(columns - i * W);
          D::store(p, to + i * W, W);
          sum = sum + p;
        }
      }
      sum.store(sums + row * W);
    }
  };

  // The largest score of each row.
  struct StoreMaximum {
    float* maxima;
    inline void operator()(V score, int row, int, int lanes) const {
      float all[W];
      score.store(all);
      for (int i = 0; i < lanes; ++i) {
        if (all[i] > maxima[row]) maxima[row] = all[i];
      }
    }
  };

  // Queries that go one way, until there are enough of them.
  template <class Row>
  struct Queries {
    explicit Queries(Row* room) : rows(room) {}

    Row* rows;  // [kQueries][head_size]
    int count = 0;
    int index[kQueries];
    float factor[kQueries];
    float start[kQueries];
  };

  // Keys as elements, packed when they are first needed.
  struct ElementScores {
    const AttentionJob& job;
    Element* panels;
    bool packed = false;

    template <class Store>
    void operator()(typename P::Session& session, const Element* rows, int count, int first_key, int keys, Store store) {
      if (!packed) pack_keys(job, panels);
      packed = true;
      P::gemm(session, rows, job.head_size, count, job.head_size, panels + static_cast<std::ptrdiff_t>(first_key) * job.head_size,
              static_cast<std::ptrdiff_t>(NR) * job.head_size, keys, store);
    }
  };

  struct Work {
    const AttentionJob& job;
    const Layout layout;
    typename P::Session session;
    explicit Work(const AttentionJob& j) : job(j), layout(j.length, j.head_size) {}
    float* at(std::size_t offset) const { return job.scratch + offset; }

    // Attention of the queries that have gathered; `scores` multiplies them with keys.
    template <bool near, class Scores, class Row>
    void attend(Scores& scores, Queries<Row>& queries) {
      const int d = job.head_size;
      const int columns = round_up(d, NR);
      const int tokens = round_up(job.length, P::step);
      auto* values = reinterpret_cast<const Element*>(at(layout.values));
      auto* weights = reinterpret_cast<Element*>(at(layout.weights));
      float* output = at(layout.output);
      float* sums = at(layout.sums);
      const int rows = queries.count;
      for (int i = 0; i < rows * W; i += W) V::set1(0.0F).store(sums + i);
      for (int i = 0; i < rows * columns; i += W) V::set1(0.0F).store(output + i);
      for (int k0 = 0; k0 < job.length; k0 += kChunk) {
        const int count = job.length - k0 < kChunk ? job.length - k0 : kChunk;
        scores(session, queries.rows, rows, k0, count, StoreWeights<near>{weights, sums, queries.factor, queries.start});
        P::gemm(session, weights, kChunk, rows, round_up(count, P::step), values + static_cast<std::ptrdiff_t>(k0) * NR,
                static_cast<std::ptrdiff_t>(tokens) * NR, d, StoreAdd<V>{output, columns});
      }
      for (int r = 0; r < rows; ++r) {
        auto* out = static_cast<Element*>(job.out) + queries.index[r] * job.out_stride;
        const V share = V::set1(1.0F / reduce_add(V::load(sums + r * W)));
        for (int i = 0; i < d; i += W) {
          D::store(V::load(output + r * columns + i) * share, out + i, d - i < W ? d - i : W);
        }
      }
      queries.count = 0;
    }

    void attend_far(ElementScores& scores, Queries<Element>& queries) {
      float maxima[kQueries];
      for (float& m : maxima) m = -3.0e38F;
      scores(session, queries.rows, queries.count, 0, job.length, StoreMaximum{maxima});
      for (int r = 0; r < queries.count; ++r) queries.start[r] = kWhole - __builtin_ceilf(maxima[r] * queries.factor[r]);
      attend<false>(scores, queries);
    }

    // `take` makes of a query a row of the near way, if it can.
    template <class Scores, class Row, class Take>
    void run(ElementScores& elements, Scores& scores, Row* near_rows, Element* far_rows, Take take) {
      const int d = job.head_size;
      Queries<Row> near(near_rows);
      Queries<Element> far(far_rows);
      for (int q = job.query_begin; q < job.query_end; ++q) {
        const Element* query = static_cast<const Element*>(job.query) + q * job.stride;
        if (take(query, near.rows + near.count * d, near.factor[near.count], near.start[near.count])) {
          if constexpr (kOwnWeights) to_parts(near.factor[near.count], near.start[near.count]);
          near.index[near.count++] = q;
          if (near.count == kQueries) attend<true>(scores, near);
          continue;
        }
        for (int i = 0; i < d; ++i) far.rows[far.count * d + i] = query[i];
        far.factor[far.count] = job.scale * kLog2e;
        far.index[far.count++] = q;
        if (far.count == kQueries) attend_far(elements, far);
      }
      if (near.count > 0) attend<true>(scores, near);
      if (far.count > 0) attend_far(elements, far);
    }
  };

  static void run(const AttentionJob& job) {
    Work work(job);
    const int d = job.head_size;
    const float factor = job.scale * kLog2e;
    ElementScores elements{job, reinterpret_cast<Element*>(work.at(work.layout.keys))};
    auto* far_rows = reinterpret_cast<Element*>(work.at(work.layout.sums) + kQueries * W);
    auto* near_rows = far_rows + kQueries * d;
    pack_values(job, reinterpret_cast<Element*>(work.at(work.layout.values)));
    if constexpr (kBytes) {
      using Bytes = ByteScores<S, D>;
      const Bytes scores(job, work.at(work.layout.bytes), factor);
      work.run(elements, scores, reinterpret_cast<typename Bytes::Row*>(near_rows), far_rows,
               [&](const Element* query, typename Bytes::Row* to, float& by, float& start) {
                 return scores.take(query, kBound, to, by, start);
               });
    } else {
      float longest = 0.0F;
      for (int t = 0; t < job.length; ++t) {
        const float size = norm(static_cast<const Element*>(job.key) + t * job.stride, d);
        longest = size > longest ? size : longest;
      }
      work.run(elements, elements, near_rows, far_rows, [&](const Element* query, Element* to, float& by, float& start) {
        const float furthest = norm(query, d) * longest * factor;
        if (!(furthest <= kBound)) return false;
        for (int i = 0; i < d; ++i) to[i] = query[i];
        by = factor;
        start = kWhole - __builtin_ceilf(furthest);
        return true;
      });
    }
  }
};

}  // namespace crumb::generic
