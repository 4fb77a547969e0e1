// The scans' algorithms, written once over a vocabulary V (vec_<isa>.h).
//
// Enters: jobs of table.h. Leaves: scores. V supplies: Vec, the float32 vocabulary of kernels/; load of `Vec::width` elements of
// each form (F32, F16, I8, U8, Bits) from a row; reduce4, which adds up the lanes of four vectors, each in the same order; Wide, a
// vector of 32-bit sums, and madd, which adds products of bytes and 16-bit numbers to it; BitSum, counters of bits by weight.
// Everything here is a template over V, or the linker could choose another instruction set's copy.
#pragma once

#include <cstring>

#include "../kernels/generic/gemm.h"  // CRUMB_UNROLL
#include "table.h"

namespace crumb::scoring::generic {

// `count` elements of size `Bytes`, with zeros behind them up to a whole vector
template <class V, class Form>
static inline __attribute__((always_inline)) typename V::Vec load_tail(const unsigned char* row, int at, int count) {
  alignas(64) unsigned char padded[V::Vec::width * 4] = {};
  std::memcpy(padded, row + Form::offset(at), static_cast<std::size_t>(Form::offset(count + Form::per_byte - 1)));
  return Form::load(padded, 0);
}

template <class V, class Form>
static inline __attribute__((always_inline)) typename V::Vec load_any(const unsigned char* row, int at, int dims) {
  const int left = dims - at;
  return left >= V::Vec::width ? Form::load(row, at) : load_tail<V, Form>(row, at, left);
}

template <class V, int Count>
static inline __attribute__((always_inline)) void reduce_all(const typename V::Vec (&sums)[Count], float* to, std::ptrdiff_t step,
                                                            int inner, std::ptrdiff_t outer_step) {
  alignas(16) float four[4];
  CRUMB_UNROLL
  for (int i = 0; i < Count; i += 4) {
    V::reduce4(sums[i], sums[i + 1 < Count ? i + 1 : i], sums[i + 2 < Count ? i + 2 : i], sums[i + 3 < Count ? i + 3 : i], four);
    CRUMB_UNROLL
    for (int j = 0; j < 4; ++j) {
      if (i + j < Count) to[(i + j) / inner * outer_step + (i + j) % inner * step] = four[j];
    }
  }
}

// R rows as they are stored against one query
template <class V, class Form, int R>
static inline void direct_tile(const DotJob& job, int row, int query) {
  using Vec = typename V::Vec;
  const float* q = job.queries + static_cast<std::ptrdiff_t>(query) * job.padded;
  const unsigned char* rows[R];
  Vec sums[R];
  CRUMB_UNROLL
  for (int r = 0; r < R; ++r) {
    rows[r] = job.rows.data + (row + r) * job.rows.stride;
    sums[r] = Vec::set1(0.0F);
  }
  int at = 0;
  for (; at + Vec::width <= job.rows.dims; at += Vec::width) {
    const Vec weights = Vec::load(q + at);
    CRUMB_UNROLL
    for (int r = 0; r < R; ++r) sums[r] = fma(Form::load(rows[r], at), weights, sums[r]);
  }
  if (at < job.rows.dims) {
    const Vec weights = Vec::load(q + at);
    CRUMB_UNROLL
    for (int r = 0; r < R; ++r) sums[r] = fma(load_tail<V, Form>(rows[r], at, job.rows.dims - at), weights, sums[r]);
  }
  reduce_all<V>(sums, job.out + static_cast<std::ptrdiff_t>(query) * job.rows.count + row, 1, R, 0);
}

// R rows of float32 against Q queries, both padded
template <class V, int R, int Q>
static inline void gemm_tile(const DotJob& job, const float* rows, std::ptrdiff_t stride, int row, int query) {
  using Vec = typename V::Vec;
  const float* x = rows + row * stride;
  const float* q = job.queries + static_cast<std::ptrdiff_t>(query) * job.padded;
  Vec sums[Q * R];
  CRUMB_UNROLL
  for (int i = 0; i < Q * R; ++i) sums[i] = Vec::set1(0.0F);
  for (int at = 0; at < job.rows.dims; at += Vec::width) {
    Vec values[R];
    CRUMB_UNROLL
    for (int r = 0; r < R; ++r) values[r] = Vec::load(x + r * stride + at);
    CRUMB_UNROLL
    for (int i = 0; i < Q; ++i) {
      const Vec weights = Vec::load(q + static_cast<std::ptrdiff_t>(i) * job.padded + at);
      CRUMB_UNROLL
      for (int r = 0; r < R; ++r) sums[i * R + r] = fma(values[r], weights, sums[i * R + r]);
    }
  }
  reduce_all<V>(sums, job.out + static_cast<std::ptrdiff_t>(query) * job.rows.count + row, 1, R, job.rows.count);
}

template <class V, int R>
static inline void gemm_rows(const DotJob& job, const float* rows, std::ptrdiff_t stride, int row) {
  int query = 0;
  for (; query + V::queries <= job.query_count; query += V::queries) gemm_tile<V, R, V::queries>(job, rows, stride, row, query);
  for (; query + 2 <= job.query_count; query += 2) gemm_tile<V, R, 2>(job, rows, stride, row, query);
  for (; query < job.query_count; ++query) gemm_tile<V, R, 1>(job, rows, stride, row, query);
}

template <class V, class Form>
static void expand_rows(const Rows& rows, float* to, int padded) {
  using Vec = typename V::Vec;
  for (int r = 0; r < rows.count; ++r) {
    const unsigned char* row = rows.data + r * rows.stride;
    float* out = to + static_cast<std::ptrdiff_t>(r) * padded;
    for (int at = 0; at < rows.dims; at += Vec::width) load_any<V, Form>(row, at, rows.dims).store(out + at);
  }
}

template <class V, class Form>
static void dots_of(const DotJob& job) {
  if (job.query_count < V::fewest_for_gemm) {
    for (int query = 0; query < job.query_count; ++query) {
      int row = 0;
      for (; row + V::direct_rows <= job.rows.count; row += V::direct_rows) direct_tile<V, Form, V::direct_rows>(job, row, query);
      for (; row < job.rows.count; ++row) direct_tile<V, Form, 1>(job, row, query);
    }
    return;
  }
  const float* rows = job.scratch;
  std::ptrdiff_t stride = job.padded;
  if (Form::is_float && job.rows.dims % V::Vec::width == 0 && job.rows.stride % 4 == 0) {
    rows = reinterpret_cast<const float*>(job.rows.data);
    stride = job.rows.stride / 4;
  } else {
    expand_rows<V, Form>(job.rows, job.scratch, job.padded);
  }
  int row = 0;
  for (; row + V::rows <= job.rows.count; row += V::rows) gemm_rows<V, V::rows>(job, rows, stride, row);
  for (; row < job.rows.count; ++row) gemm_rows<V, 1>(job, rows, stride, row);
}

// Calls `what` with the loader of a form
template <class V, class What>
static inline __attribute__((always_inline)) void with_form(Form form, What what) {
  switch (form) {
    case Form::float32: return what(typename V::F32{});
    case Form::float16: return what(typename V::F16{});
    case Form::int8: return what(typename V::I8{});
    case Form::uint8: return what(typename V::U8{});
    case Form::bits: return what(typename V::Bits{});
  }
}

template <class V>
static void dots(const DotJob& job) {
  with_form<V>(job.rows.form, [&](auto form) { dots_of<V, decltype(form)>(job); });
}

template <class V>
static void squares(const Rows& rows, const float* step, const float* base, float* out) {
  using Vec = typename V::Vec;
  with_form<V>(rows.form, [&](auto form) {
    using Form = decltype(form);
    for (int r = 0; r < rows.count; ++r) {
      const unsigned char* row = rows.data + r * rows.stride;
      Vec sums[4] = {Vec::set1(0.0F), Vec::set1(0.0F), Vec::set1(0.0F), Vec::set1(0.0F)};
      for (int at = 0; at < rows.dims; at += Vec::width) {
        const int left = rows.dims - at;
        Vec value = load_any<V, Form>(row, at, rows.dims);
        if (step != nullptr) {
          value = left >= Vec::width ? fma(value, Vec::load(step + at), Vec::load(base + at))
                                     : fma(value, Vec::load_n(step + at, left), Vec::load_n(base + at, left));
        }
        Vec& sum = sums[at / Vec::width % 4];
        sum = fma(value, value, sum);
      }
      float four[4];
      V::reduce4(sums[0], sums[1], sums[2], sums[3], four);
      out[r] = (four[0] + four[1]) + (four[2] + four[3]);
    }
  });
}

template <class V>
static void expand(const Rows& row, float* to) {
  using Vec = typename V::Vec;
  with_form<V>(row.form, [&](auto form) {
    using Form = decltype(form);
    for (int at = 0; at < row.dims; at += Vec::width) {
      const int left = row.dims - at;
      const Vec value = load_any<V, Form>(row.data, at, row.dims);
      if (left >= Vec::width) {
        value.store(to + at);
      } else {
        value.store_n(to + at, left);
      }
    }
  });
}

template <class V, bool Signed, int Q>
static inline void integer_tile(const IntegerJob& job, int r, int query) {
  const unsigned char* row = job.rows.data + r * job.rows.stride;
  const std::int16_t* q = job.queries + static_cast<std::ptrdiff_t>(query) * job.padded;
  typename V::Wide sums[Q];
  CRUMB_UNROLL
  for (int i = 0; i < Q; ++i) sums[i] = V::wide_zero();
  int at = 0;
  const auto step = [&](const unsigned char* bytes) {
    const auto values = V::template widen<Signed>(bytes);
    CRUMB_UNROLL
    for (int i = 0; i < Q; ++i) sums[i] = V::madd(sums[i], values, q + static_cast<std::ptrdiff_t>(i) * job.padded + at);
  };
  for (; at + V::wide <= job.rows.dims; at += V::wide) step(row + at);
  if (at < job.rows.dims) {
    unsigned char padded[V::wide] = {};
    std::memcpy(padded, row + at, static_cast<std::size_t>(job.rows.dims - at));
    step(padded);
  }
  CRUMB_UNROLL
  for (int i = 0; i < Q; ++i) job.out[static_cast<std::ptrdiff_t>(query + i) * job.rows.count + r] = V::wide_sum(sums[i]);
}

template <class V, bool Signed>
static void integer_dots_of(const IntegerJob& job) {
  for (int r = 0; r < job.rows.count; ++r) {
    int query = 0;
    for (; query + 4 <= job.query_count; query += 4) integer_tile<V, Signed, 4>(job, r, query);
    for (; query < job.query_count; ++query) integer_tile<V, Signed, 1>(job, r, query);
  }
}

template <class V>
static void integer_dots(const IntegerJob& job) {
  return job.rows.form == Form::int8 ? integer_dots_of<V, true>(job) : integer_dots_of<V, false>(job);
}

template <class V, int Planes>
static void bit_distances_of(const BitsJob& job) {
  for (int query = 0; query < job.query_count; ++query) {
    const std::uint64_t* bits = job.queries + static_cast<std::ptrdiff_t>(query) * job.record;
    const std::uint64_t* planes = bits + job.words;
    std::int32_t* out = job.out + static_cast<std::ptrdiff_t>(query) * job.count;
    for (int r = 0; r < job.count; ++r) {
      const unsigned char* row = job.rows + r * job.bytes;
      typename V::template BitSum<Planes> sum;
      std::ptrdiff_t at = 0;
      const auto step = [&](auto different) {
        CRUMB_UNROLL
        for (int p = 0; p < Planes; ++p) sum.add(p, different, planes + p * job.words + at / 8);
        sum.settle();
      };
      for (; at + V::bit_bytes <= job.bytes; at += V::bit_bytes) step(V::differ(row + at, bits + at / 8));
      if (at < job.bytes) step(V::differ_n(row + at, bits + at / 8, static_cast<int>(job.bytes - at)));
      out[r] = -sum.total();
    }
  }
}

template <class V>
static void bit_distances(const BitsJob& job) {
  return job.planes == 1 ? bit_distances_of<V, 1>(job) : bit_distances_of<V, kPlanes>(job);
}

// Counting bits needs no tables
template <class V>
static int table_words(int) {
  return 0;
}

template <class V>
static void tabulate(std::uint64_t*, int, int) {}

// The table of a set without its distances of bits, and with them
template <class V>
constexpr Table without_bits(const char* name, bool (*supported)()) {
  return {name, supported, dots<V>, integer_dots<V>, nullptr, nullptr, nullptr, squares<V>, expand<V>};
}

template <class V>
constexpr Table make(const char* name, bool (*supported)()) {
  Table table = without_bits<V>(name, supported);
  table.bit_distances = bit_distances<V>;
  table.table_words = table_words<V>;
  table.tabulate = tabulate<V>;
  return table;
}

}  // namespace crumb::scoring::generic
