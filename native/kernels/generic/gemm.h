// Rows times packed panels, over a way to multiply D.
//
// Enters: rows a[rows][k] and panels [k / depth][NV * W][depth] (table.h). Leaves: whatever the Store policy makes of each sum.
// Every output element is one chain of multiply-adds from k = 0 upwards, whatever the tile it falls in: that is why a row's
// bits do not depend on the rows beside it.
//
// D supplies: Vec, the float32 vocabulary; Sum, a vector of sums, and zero; Row and Weight, what is multiplied; depth, how many
// neighbours of k one step takes; load (a vector of panel columns), broadcast (one row's next `depth` elements) and dot
// (sum + a * b). A policy that lays a line's vectors out among each other has place (where in the line a column is), and its load
// is told which vector of the line is meant. Where activations are kept in it: Element, read and store of elements from and to float32; exp_degree and
// exact_gelu, how good softmax weights and GELU have to be (math.h). With a member `apart` what becomes of the sums is compiled
// apart from the loop: GCC keeps an epilogue's constants in registers throughout and spills the sums where there are too few.
#pragma once

#include <cstddef>
#include <cstdint>

// The register tile exists only if these loops are unrolled; GCC has to be told, Clang does it unasked.
#if defined(__GNUC__) && !defined(__clang__)
#define CRUMB_UNROLL _Pragma("GCC unroll 32")
#else
#define CRUMB_UNROLL
#endif

namespace crumb::generic {

// float32 through the vocabulary's own multiply-add
template <class V>
struct Float32 {
  using Vec = V;
  using Sum = V;
  using Row = float;
  using Weight = float;
  using Element = float;
  static constexpr int depth = 1;
  static constexpr int exp_degree = 6;
  static constexpr bool exact_gelu = true;
  static inline V zero() { return V::set1(0.0F); }
  static inline V load(const float* p) { return V::load(p); }
  static inline V broadcast(const float* p) { return V::set1(*p); }
  static inline V dot(V sum, V a, V b) { return fma(a, b, sum); }
  static inline V read(const float* p, int lanes) { return lanes == V::width ? V::load(p) : V::load_n(p, lanes); }
  static inline void store(V v, float* p, int lanes) {
    if (lanes == V::width) {
      v.store(p);
    } else {
      v.store_n(p, lanes);
    }
  }
};

// A store takes one vector of sums at a time; one with a member `row` takes a row's whole panel, of which `columns` count.
// Stores are passed by value: through a reference the compiler would have to read them again after everything they write.

template <int W, class Store, class Sum, int NV>
static inline __attribute__((always_inline)) void store_row(Store store, const Sum (&sums)[NV], int row, int column,
                                                            int columns) {
  if constexpr (requires { store.row(sums, row, column, columns); }) {
    store.row(sums, row, column, columns);
  } else if (columns == NV * W) {
    CRUMB_UNROLL
    for (int n = 0; n < NV; ++n) store(sums[n], row, column + n * W, W);
  } else {
    CRUMB_UNROLL
    for (int n = 0; n < NV; ++n) {
      const int left = columns - n * W;
      if (left > 0) store(sums[n], row, column + n * W, left < W ? left : W);
    }
  }
}

// The sums [MR][NV] of a tile, through memory and out of sight of the loop that made them.
template <int W, int MR, int NV, class Sum, class Store>
static __attribute__((noinline)) void store_apart(const Sum* sums, Store store, int row, int column, int columns) {
  for (int m = 0; m < MR; ++m) {
    Sum one[NV];
    CRUMB_UNROLL
    for (int n = 0; n < NV; ++n) one[n] = sums[m * NV + n];
    store_row<W>(store, one, row + m, column, columns);
  }
}

// Vector n of a line, a line being one step's weights for all columns of a panel.
template <class D>
static inline __attribute__((always_inline)) auto load_vector(const typename D::Weight* line, int n) {
  if constexpr (requires { D::load(line, n); }) {
    return D::load(line, n);
  } else {
    return D::load(line + n * D::Vec::width * D::depth);
  }
}

// A tile of MR rows by one panel of NV vectors, held in registers.
template <class D, int MR, int NV, class Store>
static inline __attribute__((always_inline)) void gemm_tile(const typename D::Row* a, std::ptrdiff_t lda, int k,
                                                            const typename D::Weight* panel, int row, int column,
                                                            int columns, Store store) {
  constexpr int W = D::Vec::width;
  typename D::Sum acc[MR][NV];
  CRUMB_UNROLL
  for (int m = 0; m < MR; ++m) {
    CRUMB_UNROLL
    for (int n = 0; n < NV; ++n) acc[m][n] = D::zero();
  }
  for (int i = 0; i < k; i += D::depth) {
    decltype(load_vector<D>(panel, 0)) b[NV];
    CRUMB_UNROLL
    for (int n = 0; n < NV; ++n) b[n] = load_vector<D>(panel + static_cast<std::ptrdiff_t>(i) * (NV * W), n);
    CRUMB_UNROLL
    for (int m = 0; m < MR; ++m) {
      const auto x = D::broadcast(a + m * lda + i);
      CRUMB_UNROLL
      for (int n = 0; n < NV; ++n) acc[m][n] = D::dot(acc[m][n], x, b[n]);
    }
  }
  if constexpr (requires { D::apart; }) {
    typename D::Sum sums[MR * NV];
    CRUMB_UNROLL
    for (int i = 0; i < MR * NV; ++i) sums[i] = acc[i / NV][i % NV];
    store_apart<W, MR, NV>(sums, store, row, column, columns);
  } else {
    CRUMB_UNROLL
    for (int m = 0; m < MR; ++m) store_row<W>(store, acc[m], row + m, column, columns);
  }
}

// The last rows of a block: the tile height is a template argument, so walk down from MR - 1 to the height that is left.
template <class D, int MR, int NV, class Store>
static inline void gemm_tail(int rows, const typename D::Row* a, std::ptrdiff_t lda, int k, const typename D::Weight* panel,
                             int row, int column, int columns, Store store) {
  if constexpr (MR > 0) {
    if (rows == MR) {
      gemm_tile<D, MR, NV>(a, lda, k, panel, row, column, columns, store);
    } else {
      gemm_tail<D, MR - 1, NV>(rows, a, lda, k, panel, row, column, columns, store);
    }
  }
}

// What lasts from one product to the next of the same thread, where that is anything.
struct NoSession {};

// The product in tiles of MR rows by NV vectors. Whatever takes its place (kernels/amx.h) has the same members.
template <class D, int MR, int NV>
struct Tiled {
  using Format = D;
  static constexpr int panel = NV * D::Vec::width;
  static constexpr int row_tile = MR;
  static constexpr int step = D::depth;  // of which k must be a multiple
  static constexpr int block_rows = 96;  // table.h

  using Session = NoSession;

  // store(sum, row, column, lanes) for every vector of the product of a[rows][k] and `out` packed columns
  template <class Store>
  static inline void gemm(Session&, const typename D::Row* a, std::ptrdiff_t lda, int rows, int k, const typename D::Weight* panels,
                          std::ptrdiff_t panel_stride, int out, Store store) {
    for (int column = 0; column < out; column += panel) {
      const typename D::Weight* at = panels + (column / panel) * panel_stride;
      const int columns = out - column < panel ? out - column : panel;
      int row = 0;
      for (; row + MR <= rows; row += MR) gemm_tile<D, MR, NV>(a + row * lda, lda, k, at, row, column, columns, store);
      if (row < rows) gemm_tail<D, MR - 1, NV>(rows - row, a + row * lda, lda, k, at, row, column, columns, store);
    }
  }

  // The tile's instructions alone, on one step that stays in L1: multiply-adds of `rounds` rounds.
  static std::int64_t peak(int rounds) {
    constexpr int lanes = D::Vec::width;
    alignas(64) static typename D::Row rows[MR * D::depth] = {};
    alignas(64) static typename D::Weight weights[NV * lanes * D::depth] = {};
    // Zeros, but the compiler must not know: equal sums would be computed once.
    alignas(64) typename D::Sum sink[MR * NV];
    for (auto& sum : sink) sum = D::zero();
    __asm__ volatile("" : : "r"(sink) : "memory");
    typename D::Sum acc[MR][NV];
    CRUMB_UNROLL
    for (int i = 0; i < MR * NV; ++i) acc[i / NV][i % NV] = sink[i];
    for (int r = 0; r < rounds; ++r) {
      __asm__ volatile("" : : : "memory");  // nor may it see that products repeat
      CRUMB_UNROLL
      for (int m = 0; m < MR; ++m) {
        const auto x = D::broadcast(rows + m * D::depth);
        CRUMB_UNROLL
        for (int n = 0; n < NV; ++n) acc[m][n] = D::dot(acc[m][n], x, load_vector<D>(weights, n));
      }
    }
    CRUMB_UNROLL
    for (int i = 0; i < MR * NV; ++i) sink[i] = acc[i / NV][i % NV];
    __asm__ volatile("" : : "r"(sink) : "memory");
    return static_cast<std::int64_t>(rounds) * MR * NV * lanes * D::depth;
  }
};

// Store policies ------------------------------------------------------------------------------------------------------

// c += sum in float32
template <class V>
struct StoreAdd {
  float* c;
  std::ptrdiff_t ldc;
  inline void operator()(V sum, int row, int column, int lanes) const {
    float* to = c + row * ldc + column;
    const V old = lanes == V::width ? V::load(to) : V::load_n(to, lanes);
    Float32<V>::store(old + sum, to, lanes);
  }
};

template <class V>
static inline V identity(V x) {
  return x;
}

// Elements for the next product: activation(sum)
template <class D, typename D::Vec (*activation)(typename D::Vec)>
struct StoreElements {
  typename D::Element* c;
  std::ptrdiff_t ldc;
  inline void operator()(typename D::Vec sum, int row, int column, int lanes) const {
    D::store(activation(sum), c + row * ldc + column, lanes);
  }
};

}  // namespace crumb::generic
