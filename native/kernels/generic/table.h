// Fills a `Kernels` for one way to multiply: the only place that knows which algorithm stands behind which entry.
#pragma once

#include <type_traits>

#include "../table.h"
#include "attention.h"
#include "gemm.h"
#include "math.h"

namespace crumb::generic {

template <class D, int MR, int NV>
struct Table {
  using V = typename D::Vec;
  using Element = typename D::Element;
  static constexpr int W = V::width;
  static constexpr int NR = NV * W;

  static const Element* elements(const void* p) { return static_cast<const Element*>(p); }
  static std::ptrdiff_t panel_stride(const PackedLinear& w) { return static_cast<std::ptrdiff_t>(w.in) * NR; }

  static void convert(const float* from, std::size_t count, void* to) {
    auto* out = static_cast<Element*>(to);
    std::size_t i = 0;
    for (; i + W <= count; i += W) D::store(V::load(from + i), out + i, W);
    if (i < count) D::store(V::load_n(from + i, static_cast<int>(count - i)), out + i, static_cast<int>(count - i));
  }

  // LayerNorm in place, and the row again as elements unless they are the row itself
  static void norm_row(float* x, int n, const LayerNorm& norm, void* input, std::ptrdiff_t row) {
    layer_norm_row<V>(x, n, norm.gamma, norm.beta, norm.epsilon);
    if constexpr (!std::is_same_v<Element, float>) {
      convert(x, static_cast<std::size_t>(n), static_cast<Element*>(input) + row * n);
    }
  }

  static void embed(const EmbeddingTables& tables, const std::int32_t* ids, const std::int32_t* positions, int rows,
                    float* x, void* input) {
    const int n = tables.hidden;
    for (int r = 0; r < rows; ++r) {
      const float* word = tables.word + static_cast<std::ptrdiff_t>(ids[r]) * n;
      const float* position = tables.position + static_cast<std::ptrdiff_t>(positions[r]) * n;
      float* to = x + static_cast<std::ptrdiff_t>(r) * n;
      int i = 0;
      for (; i + W <= n; i += W) {
        (V::load(word + i) + V::load(tables.type + i) + V::load(position + i)).store(to + i);
      }
      for (; i < n; ++i) to[i] = word[i] + tables.type[i] + position[i];
      norm_row(to, n, tables.norm, input, r);
    }
  }

  template <V (*activation)(V)>
  static void product(const PackedLinear& w, const void* a, std::ptrdiff_t lda, int rows, void* c, std::ptrdiff_t ldc) {
    gemm<D, MR, NV>(elements(a), lda, rows, w.in, elements(w.weights), panel_stride(w), w.out,
                    StoreElements<D, activation>{static_cast<Element*>(c), ldc, w.bias});
  }

  static void linear_activation(const PackedLinear& w, const void* a, std::ptrdiff_t lda, int rows, void* c,
                                std::ptrdiff_t ldc, Activation activation) {
    if (activation == Activation::gelu) {
      product<gelu<V>>(w, a, lda, rows, c, ldc);
    } else {
      product<gelu_tanh<V>>(w, a, lda, rows, c, ldc);
    }
  }

  static void linear_residual_norm(const PackedLinear& w, const void* a, std::ptrdiff_t lda, int rows, float* x,
                                   void* input, const LayerNorm& norm) {
    gemm<D, MR, NV>(elements(a), lda, rows, w.in, elements(w.weights), panel_stride(w), w.out,
                    StoreAdd<V>{x, w.out, w.bias});
    for (int r = 0; r < rows; ++r) norm_row(x + static_cast<std::ptrdiff_t>(r) * w.out, w.out, norm, input, r);
  }

  static constexpr Kernels make(const char* name, Precision precision, bool (*supported)()) {
    return {name,
            precision,
            supported,
            NR,
            MR,
            static_cast<int>(sizeof(Element)),
            D::depth,
            convert,
            embed,
            product<identity<V>>,
            linear_activation,
            linear_residual_norm,
            Attention<D, MR, NV>::run,
            Attention<D, MR, NV>::scratch};
  }
};

}  // namespace crumb::generic
