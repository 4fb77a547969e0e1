// Rows times packed panels, over a vector vocabulary V.
//
// Enters: rows a[rows][k] and panels [k][NV * W] (table.h). Leaves: whatever the Store policy makes of each sum. Every output
// element is one chain of k multiply-adds from k = 0 upwards, whatever the tile it falls in: that is why a row's bits do not
// depend on the rows beside it.
#pragma once

#include <cstddef>

// The register tile exists only if these loops are unrolled; GCC has to be told, Clang does it unasked.
#if defined(__GNUC__) && !defined(__clang__)
#define CRUMB_UNROLL _Pragma("GCC unroll 16")
#else
#define CRUMB_UNROLL
#endif

namespace crumb::generic {

// A tile of MR rows by one panel of NV vectors, held in registers.
template <class V, int MR, int NV, class Store>
static inline __attribute__((always_inline)) void gemm_tile(const float* a, std::ptrdiff_t lda, int k, const float* panel,
                                                            int row, int column, int columns, const Store& store) {
  constexpr int W = V::width;
  V acc[MR][NV];
CRUMB_UNROLL
  for (int m = 0; m < MR; ++m) {
CRUMB_UNROLL
    for (int n = 0; n < NV; ++n) acc[m][n] = V::set1(0.0F);
  }
  for (int i = 0; i < k; ++i) {
    V b[NV];
CRUMB_UNROLL
    for (int n = 0; n < NV; ++n) b[n] = V::load(panel + static_cast<std::ptrdiff_t>(i) * (NV * W) + n * W);
CRUMB_UNROLL
    for (int m = 0; m < MR; ++m) {
      const V x = V::set1(a[m * lda + i]);
CRUMB_UNROLL
      for (int n = 0; n < NV; ++n) acc[m][n] = fma(x, b[n], acc[m][n]);
    }
  }
CRUMB_UNROLL
  for (int m = 0; m < MR; ++m) {
CRUMB_UNROLL
    for (int n = 0; n < NV; ++n) {
      const int left = columns - n * W;
      if (left > 0) store(acc[m][n], row + m, column + n * W, left < W ? left : W);
    }
  }
}

// The last rows of a block: the tile height is a template argument, so walk down from MR - 1 to the height that is left.
template <class V, int MR, int NV, class Store>
static inline void gemm_tail(int rows, const float* a, std::ptrdiff_t lda, int k, const float* panel, int row, int column,
                             int columns, const Store& store) {
  if constexpr (MR > 0) {
    if (rows == MR) {
      gemm_tile<V, MR, NV>(a, lda, k, panel, row, column, columns, store);
    } else {
      gemm_tail<V, MR - 1, NV>(rows, a, lda, k, panel, row, column, columns, store);
    }
  }
}

// store(sum, row, column, lanes) for every vector of the product of a[rows][k] and `out` packed columns.
template <class V, int MR, int NV, class Store>
static inline void gemm(const float* a, std::ptrdiff_t lda, int rows, int k, const float* panels, std::ptrdiff_t panel_stride,
                        int out, const Store& store) {
  constexpr int NR = NV * V::width;
  for (int column = 0; column < out; column += NR) {
    const float* panel = panels + (column / NR) * panel_stride;
    const int columns = out - column < NR ? out - column : NR;
    int row = 0;
    for (; row + MR <= rows; row += MR) {
      gemm_tile<V, MR, NV>(a + row * lda, lda, k, panel, row, column, columns, store);
    }
    if (row < rows) {
      gemm_tail<V, MR - 1, NV>(rows - row, a + row * lda, lda, k, panel, row, column, columns, store);
    }
  }
}

// Store policies ------------------------------------------------------------------------------------------------------

template <class V>
struct StorePlain {
  float* c;
  std::ptrdiff_t ldc;
  inline void operator()(V sum, int row, int column, int lanes) const {
    float* to = c + row * ldc + column;
    if (lanes == V::width) {
      sum.store(to);
    } else {
      sum.store_n(to, lanes);
    }
  }
};

template <class V>
struct StoreBias {
  StorePlain<V> plain;
  const float* bias;
  inline void operator()(V sum, int row, int column, int lanes) const {
    plain(sum + V::load(bias + column), row, column, lanes);
  }
};

template <class V, V (*activation)(V)>
struct StoreActivation {
  StorePlain<V> plain;
  const float* bias;
  inline void operator()(V sum, int row, int column, int lanes) const {
    plain(activation(sum + V::load(bias + column)), row, column, lanes);
  }
};

// c += sum + bias; bias may be null (attention's running output)
template <class V>
struct StoreAdd {
  StorePlain<V> plain;
  const float* bias;
  inline void operator()(V sum, int row, int column, int lanes) const {
    const float* from = plain.c + row * plain.ldc + column;
    const V old = lanes == V::width ? V::load(from) : V::load_n(from, lanes);
    if (bias != nullptr) sum = sum + V::load(bias + column);
    plain(old + sum, row, column, lanes);
  }
};

}  // namespace crumb::generic
