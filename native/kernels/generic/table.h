// Fills a `Kernels`: the only place that knows which algorithm stands behind which entry.
#pragma once

#include <type_traits>

#include "../table.h"
#include "attention.h"
#include "gemm.h"
#include "math.h"
#include "quantize.h"

namespace crumb::generic {

// Linear layers that multiply what the product P takes as it is: floats, or bfloat16.
template <class P>
struct Direct {
  using D = typename P::Format;
  using V = typename D::Vec;
  using Element = typename D::Element;
  using Weight = typename D::Weight;
  static constexpr bool kSameElement = std::is_same_v<Element, float>;

  // Where a column is in its line
  static constexpr int place(int column) {
    if constexpr (requires { D::place(column); }) {
      return D::place(column);
    } else {
      return column;
    }
  }

  // Interleaves: [in / depth][panel][depth]
  static void pack(const PackedLinear& layout, const float* const* rows, int count, void* weights, float*, float*) {
    auto* to = static_cast<Weight*>(weights);
    for (int i = 0; i < layout.slots; ++i) {
      float line[P::panel];
      for (int c = 0; c < P::panel; ++c) line[c] = c < count && i < layout.in ? rows[c][i] : 0.0F;
      Weight packed[P::panel];
      for (int c = 0; c < P::panel; c += V::width) D::store(V::load(line + c), packed + c, V::width);
      Weight* at = to + static_cast<std::ptrdiff_t>(i / D::depth) * P::panel * D::depth + i % D::depth;
      for (int c = 0; c < P::panel; ++c) at[place(c) * D::depth] = packed[c];
    }
  }

  static std::ptrdiff_t operand_stride(const PackedLinear& w) {
    return static_cast<std::ptrdiff_t>(w.in) * static_cast<std::ptrdiff_t>(sizeof(Element));
  }
  static void operand_of_x(const PackedLinear& w, const float* x, int rows, void* to) {
    auto* elements = static_cast<Element*>(to);
    const std::ptrdiff_t count = static_cast<std::ptrdiff_t>(rows) * w.in;
    for (std::ptrdiff_t i = 0; i < count; i += V::width) {
      const int lanes = count - i < V::width ? static_cast<int>(count - i) : V::width;
      D::store(Float32<V>::read(x + i, lanes), elements + i, lanes);
    }
  }
  static constexpr auto of_x = kSameElement ? nullptr : operand_of_x;
  static constexpr void (*of_elements)(const PackedLinear&, const void*, int, void*) = nullptr;

  struct PlusBias {
    const float* bias;
    inline V operator()(V sum, int, int column) const { return sum + V::load(bias + column); }
  };
  static PlusBias value(const PackedLinear& w, Operand) { return {w.bias}; }
};

// Linear layers over bytes, elements being those of F.
template <class P, class F>
struct Quantized {
  using D = typename P::Format;
  using Element = typename F::Element;

  static void pack(const PackedLinear& layout, const float* const* rows, int count, void* weights, float* step, float* sums) {
    quantize_panel<D, P::panel>(layout, rows, count, weights, step, sums);
  }
  static std::ptrdiff_t operand_stride(const PackedLinear& w) { return byte_operand_stride(w); }

  template <class From>
  static void quantize(const PackedLinear& w, const typename From::Element* rows, int count, void* to) {
    auto* bytes = static_cast<std::uint8_t*>(to);
    for (int r = 0; r < count; ++r) {
      quantize_row<D, From>(w, rows + static_cast<std::ptrdiff_t>(r) * w.in, bytes + r * byte_operand_stride(w));
    }
  }
  static void of_x(const PackedLinear& w, const float* x, int rows, void* to) {
    quantize<Float32<typename D::Vec>>(w, x, rows, to);
  }
  static void of_elements(const PackedLinear& w, const void* elements, int rows, void* to) {
    quantize<F>(w, static_cast<const Element*>(elements), rows, to);
  }
  static Rescale<D> value(const PackedLinear& w, Operand a) {
    return {static_cast<const std::byte*>(a.rows) + w.slots, a.stride, w.step, w.sums, w.bias};
  }
};

// L is one of the two above over the product P; A is attention's product, whose elements all activations are, and S what
// multiplies its scores if that is another.
template <class P, class L, class A, class S = void>
struct Table {
  using D = typename P::Format;
  using F = typename A::Format;
  using V = typename F::Vec;
  using Element = typename F::Element;
  static constexpr int W = V::width;

  static void embed(const EmbeddingTables& tables, const std::int32_t* ids, const std::int32_t* positions, int rows,
                    float* x) {
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
      layer_norm_row<V>(to, n, tables.norm.gamma, tables.norm.beta, tables.norm.epsilon);
    }
  }

  // store(a W^T + b, row, column, lanes)
  template <class Store>
  static void product(const PackedLinear& w, Operand a, int rows, Store store) {
    using Row = typename D::Row;
    const auto value = L::value(w, a);
    typename P::Session session;
    P::gemm(session, static_cast<const Row*>(a.rows), a.stride / static_cast<std::ptrdiff_t>(sizeof(Row)), rows, w.slots,
            static_cast<const typename D::Weight*>(w.weights), static_cast<std::ptrdiff_t>(w.slots) * P::panel, w.out,
            [=](typename D::Sum sum, int row, int column, int lanes)
                __attribute__((always_inline)) { store(value(sum, row, column), row, column, lanes); });
  }

  template <V (*activation)(V)>
  static void elements(const PackedLinear& w, Operand a, int rows, void* c, std::ptrdiff_t ldc) {
    product(w, a, rows, StoreElements<F, activation>{static_cast<Element*>(c), ldc});
  }

  static void linear_activation(const PackedLinear& w, Operand a, int rows, void* c, std::ptrdiff_t ldc,
                                Activation activation) {
    if (activation == Activation::gelu) {
      elements < F::exact_gelu && D::exact_gelu ? gelu<V> : gelu_short<V> > (w, a, rows, c, ldc);
    } else {
      elements<gelu_tanh<V>>(w, a, rows, c, ldc);
    }
  }

  static void linear_add(const PackedLinear& w, Operand a, int rows, float* x, std::ptrdiff_t ldx) {
    product(w, a, rows, StoreAdd<V>{x, ldx});
  }

  static void layer_norm(const LayerNorm& norm, float* x, int rows, int columns) {
    for (int r = 0; r < rows; ++r) {
      layer_norm_row<V>(x + static_cast<std::ptrdiff_t>(r) * columns, columns, norm.gamma, norm.beta, norm.epsilon);
    }
  }

  static constexpr int size_multiple() {
    if constexpr (std::is_void_v<S>) {
      return A::step;
    } else {
      return S::step > A::step ? S::step : A::step;
    }
  }

  static constexpr Kernels make(const char* name, Precision precision, bool (*supported)()) {
    return {name,
            precision,
            supported,
            P::panel,
            P::row_tile,
            P::block_rows,
            static_cast<int>(sizeof(Element)),
            static_cast<int>(sizeof(typename D::Weight)),
            size_multiple(),
            P::step,
            L::pack,
            L::operand_stride,
            L::of_x,
            L::of_elements,
            embed,
            elements<identity<V>>,
            linear_activation,
            linear_add,
            layer_norm,
            Attention<A, S>::run,
            Attention<A, S>::scratch,
            P::peak};
  }
};

template <class P>
using DirectTable = Table<P, Direct<P>, P>;

template <class P, class A, class S = void>
using QuantizedTable = Table<P, Quantized<P, typename A::Format>, A, S>;

}  // namespace crumb::generic
