// Fills a `Kernels` for one vector vocabulary: the only place that knows which algorithm stands behind which entry.
#pragma once

#include "../table.h"
#include "attention.h"
#include "gemm.h"
#include "math.h"

namespace crumb::generic {

template <class V, int MR, int NV>
struct Table {
  static constexpr int NR = NV * V::width;

  static std::ptrdiff_t panel_stride(const PackedLinear& w) { return static_cast<std::ptrdiff_t>(w.in) * NR; }

  static void embed(const EmbeddingTables& tables, const std::int32_t* ids, const std::int32_t* positions, int rows,
                    float* out) {
    const int n = tables.hidden;
    constexpr int W = V::width;
    for (int r = 0; r < rows; ++r) {
      const float* word = tables.word + static_cast<std::ptrdiff_t>(ids[r]) * n;
      const float* position = tables.position + static_cast<std::ptrdiff_t>(positions[r]) * n;
      float* to = out + static_cast<std::ptrdiff_t>(r) * n;
      int i = 0;
      for (; i + W <= n; i += W) {
        (V::load(word + i) + V::load(tables.type + i) + V::load(position + i)).store(to + i);
      }
      for (; i < n; ++i) to[i] = word[i] + tables.type[i] + position[i];
      layer_norm_row<V>(to, n, tables.norm.gamma, tables.norm.beta, tables.norm.epsilon);
    }
  }

  static void linear(const PackedLinear& w, const float* a, std::ptrdiff_t lda, int rows, float* c, std::ptrdiff_t ldc) {
    gemm<V, MR, NV>(a, lda, rows, w.in, w.weights, panel_stride(w), w.out, StoreBias<V>{{c, ldc}, w.bias});
  }

  static void linear_activation(const PackedLinear& w, const float* a, std::ptrdiff_t lda, int rows, float* c,
                                std::ptrdiff_t ldc, Activation activation) {
    if (activation == Activation::gelu) {
      gemm<V, MR, NV>(a, lda, rows, w.in, w.weights, panel_stride(w), w.out,
                      StoreActivation<V, gelu<V>>{{c, ldc}, w.bias});
    } else {
      gemm<V, MR, NV>(a, lda, rows, w.in, w.weights, panel_stride(w), w.out,
                      StoreActivation<V, gelu_tanh<V>>{{c, ldc}, w.bias});
    }
  }

  static void linear_residual_norm(const PackedLinear& w, const float* a, std::ptrdiff_t lda, int rows, float* x,
                                   const LayerNorm& norm) {
    gemm<V, MR, NV>(a, lda, rows, w.in, w.weights, panel_stride(w), w.out, StoreAdd<V>{{x, w.out}, w.bias});
    for (int r = 0; r < rows; ++r) {
      layer_norm_row<V>(x + static_cast<std::ptrdiff_t>(r) * w.out, w.out, norm.gamma, norm.beta, norm.epsilon);
    }
  }

  static constexpr Kernels make(const char* name, bool (*supported)()) {
    return {name,   supported,         NR,
            MR,     embed,             linear,
            linear_activation, linear_residual_norm, Attention<V, MR, NV>::run,
            Attention<V, MR, NV>::scratch};
  }
};

}  // namespace crumb::generic
