// What Python sees of the engine. Checks shapes and types, lets go of the interpreter lock, and nothing else.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "encoder.h"

namespace nb = nanobind;

namespace crumb {

void bind_scoring(nb::module_& m);  // bindings_scoring.cpp
void bind_text(nb::module_& m);     // bindings_text.cpp

namespace {

using Floats1 = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Floats2 = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Ids = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Offsets = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using FloatsOut = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

void require_shape(const char* what, std::size_t got, int expected) {
  if (got != static_cast<std::size_t>(expected)) {
    throw std::invalid_argument(std::string(what) + " has " + std::to_string(got) + " entries, expected " +
                                std::to_string(expected));
  }
}

Precision precision_from_name(const std::string& name) {
  if (name == "float32") return Precision::float32;
  if (name == "bf16") return Precision::bf16;
  if (name == "int8") return Precision::int8;
  throw std::invalid_argument("unknown precision '" + name + "'; known: float32, bf16, int8");
}

// One encoder and the Python arrays whose memory it reads in place.
class NativeEncoder {
 public:
  NativeEncoder(const std::string& isa, const std::string& precision, Shape shape, Floats2 word, Floats2 position, Floats2 type, Floats1 gamma,
                Floats1 beta, const std::vector<std::vector<nb::ndarray<nb::ro>>>& layers, const Packing& packing)
      : word_(word), position_(position),
        encoder_(make(isa, precision, shape, word, position, type, gamma, beta, layers, packing)) {}

  NativeEncoder(const NativeEncoder&) = delete;

  const Encoder& encoder() const { return encoder_; }

 private:
  static const float* vector_of(const nb::ndarray<nb::ro>& array, const char* what, int size) {
    if (array.ndim() != 1 || array.dtype() != nb::dtype<float>()) {
      throw std::invalid_argument(std::string(what) + " must be a float32 vector");
    }
    require_shape(what, array.shape(0), size);
    return static_cast<const float*>(array.data());
  }

  static const float* matrix_of(const nb::ndarray<nb::ro>& array, const char* what, int rows, int columns) {
    if (array.ndim() != 2 || array.dtype() != nb::dtype<float>() || array.stride(1) != 1 ||
        array.stride(0) != static_cast<std::int64_t>(array.shape(1))) {
      throw std::invalid_argument(std::string(what) + " must be a contiguous float32 matrix");
    }
    require_shape(what, array.shape(0), rows);
    require_shape(what, array.shape(1), columns);
    return static_cast<const float*>(array.data());
  }

  static Encoder make(const std::string& isa, const std::string& precision, Shape shape, const Floats2& word, const Floats2& position, const Floats2& type,
                      const Floats1& gamma, const Floats1& beta,
                      const std::vector<std::vector<nb::ndarray<nb::ro>>>& layers, const Packing& packing) {
    if (shape.hidden < 1 || shape.heads < 1 || shape.ffn < 1 || shape.hidden % shape.heads != 0) {
      throw std::invalid_argument("hidden " + std::to_string(shape.hidden) + " cannot be split over " +
                                  std::to_string(shape.heads) + " heads");
    }
    shape.vocabulary = static_cast<int>(word.shape(0));
    shape.positions = static_cast<int>(position.shape(0));
    shape.layers = static_cast<int>(layers.size());
    require_shape("word embedding columns", word.shape(1), shape.hidden);
    require_shape("position embedding columns", position.shape(1), shape.hidden);
    require_shape("token type embedding columns", type.shape(1), shape.hidden);
    if (type.shape(0) < 1) throw std::invalid_argument("the token type embeddings have no row");
    require_shape("embedding LayerNorm weight", gamma.shape(0), shape.hidden);
    require_shape("embedding LayerNorm bias", beta.shape(0), shape.hidden);
    EmbeddingTables tables;
    tables.word = word.data();
    tables.position = position.data();
    tables.type = type.data();
    tables.norm = {gamma.data(), beta.data(), shape.epsilon};
    tables.hidden = shape.hidden;

    std::vector<LayerView> views;
    for (const auto& arrays : layers) {
      if (arrays.size() != 16) throw std::invalid_argument("a layer has 16 arrays, got " + std::to_string(arrays.size()));
      LayerView view;
      std::size_t at = 0;
      const auto dense = [&](const char* what, int out, int in) {
        const float* weight = matrix_of(arrays[at], what, out, in);
        const float* bias = vector_of(arrays[at + 1], what, out);
        at += 2;
        return DenseView{weight, bias};
      };
      view.query = dense("attention query", shape.hidden, shape.hidden);
      view.key = dense("attention key", shape.hidden, shape.hidden);
      view.value = dense("attention value", shape.hidden, shape.hidden);
      view.output = dense("attention output", shape.hidden, shape.hidden);
      view.attention_gamma = vector_of(arrays[at++], "attention LayerNorm weight", shape.hidden);
      view.attention_beta = vector_of(arrays[at++], "attention LayerNorm bias", shape.hidden);
      view.up = dense("FFN up", shape.ffn, shape.hidden);
      view.down = dense("FFN down", shape.hidden, shape.ffn);
      view.ffn_gamma = vector_of(arrays[at++], "FFN LayerNorm weight", shape.hidden);
      view.ffn_beta = vector_of(arrays[at++], "FFN LayerNorm bias", shape.hidden);
      views.push_back(view);
    }
    const Kernels& kernels = select_kernels(isa.c_str(), precision_from_name(precision),
                                            std::gcd(std::gcd(shape.hidden, shape.ffn), shape.hidden / shape.heads));
    if (packing.threads < 1) throw std::invalid_argument("threads must be at least 1, got " + std::to_string(packing.threads));
    const nb::gil_scoped_release release;
    return Encoder(kernels, Weights(shape, tables, views, kernels, packing));
  }

  Floats2 word_;
  Floats2 position_;
  Encoder encoder_;
};

RaggedBatch batch_of(const NativeEncoder& self, const Ids& ids, const Offsets& offsets) {
  if (offsets.shape(0) < 1) throw std::invalid_argument("offsets need at least one entry");
  const RaggedBatch batch{ids.data(), offsets.data(), offsets.shape(0) - 1};
  self.encoder().check(batch, static_cast<std::int64_t>(ids.shape(0)));
  return batch;
}

void check_call(const NativeEncoder& self, int layers, int lowest, int threads) {
  const int most = self.encoder().weights().shape().layers;
  if (layers < lowest || layers > most) {
    throw std::invalid_argument("layers must be " + std::to_string(lowest) + " to " + std::to_string(most) + ", got " +
                                std::to_string(layers));
  }
  if (threads < 1) throw std::invalid_argument("threads must be at least 1, got " + std::to_string(threads));
}

void encode(const NativeEncoder& self, const Ids& ids, const Offsets& offsets, const std::vector<std::string>& poolings,
            const nb::object& first_pooled, const std::vector<int>& layers, int threads, const FloatsOut& out) {
  const RaggedBatch batch = batch_of(self, ids, offsets);
  if (layers.empty()) throw std::invalid_argument("no layers given");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    check_call(self, layers[i], 1, threads);
    if (i > 0 && layers[i] <= layers[i - 1]) throw std::invalid_argument("layers must rise");
  }
  std::vector<Pooling> modes;
  for (const std::string& name : poolings) modes.push_back(pooling_from_name(name));
  if (modes.empty()) throw std::invalid_argument("no pooling given");
  require_shape("out rows", out.shape(0), static_cast<int>(layers.size() * batch.texts));
  require_shape("out columns", out.shape(1),
                static_cast<int>(modes.size()) * self.encoder().weights().shape().hidden);
  Ids first;
  const std::int32_t* first_data = nullptr;
  if (!first_pooled.is_none()) {
    first = nb::cast<Ids>(first_pooled);
    require_shape("first_pooled", first.shape(0), static_cast<int>(batch.texts));
    first_data = first.data();
    for (std::size_t i = 0; i < batch.texts; ++i) {
      if (first_data[i] < 0 || first_data[i] >= batch.length(i)) {
        throw std::invalid_argument("first_pooled[" + std::to_string(i) + "] = " + std::to_string(first_data[i]) +
                                    " is outside its text");
      }
    }
  }
  const nb::gil_scoped_release release;
  self.encoder().encode(batch, modes, first_data, layers, threads, out.data());
}

void hidden_rows(const NativeEncoder& self, const Ids& ids, const Offsets& offsets, int layers, int threads,
                 const FloatsOut& out) {
  const RaggedBatch batch = batch_of(self, ids, offsets);
  check_call(self, layers, 0, threads);
  require_shape("out rows", out.shape(0), static_cast<int>(ids.shape(0)));
  require_shape("out columns", out.shape(1), self.encoder().weights().shape().hidden);
  const nb::gil_scoped_release release;
  self.encoder().hidden_rows(batch, layers, threads, out.data());
}

}  // namespace
}  // namespace crumb

NB_MODULE(_native, m) {
  using namespace crumb;
  m.doc() = "The native engine; its Python face is crumb.engine.";

  nb::class_<NativeEncoder>(m, "Encoder")
      .def(
          "__init__",
          [](NativeEncoder* self, const std::string& isa, const std::string& precision, int hidden, int heads, int ffn, const std::string& activation,
             float epsilon, Floats2 word, Floats2 position, Floats2 type, Floats1 gamma, Floats1 beta,
             const std::vector<std::vector<nb::ndarray<nb::ro>>>& layers, int threads, bool mapped) {
            Shape shape;
            shape.hidden = hidden;
            shape.heads = heads;
            shape.ffn = ffn;
            shape.epsilon = epsilon;
            if (activation == "gelu") {
              shape.activation = Activation::gelu;
            } else if (activation == "gelu_tanh") {
              shape.activation = Activation::gelu_tanh;
            } else {
              throw std::invalid_argument("unknown activation '" + activation + "'; known: gelu, gelu_tanh");
            }
            new (self) NativeEncoder(isa, precision, shape, word, position, type, gamma, beta, layers, {threads, mapped});
          },
          nb::kw_only(), nb::arg("isa"), nb::arg("precision"), nb::arg("hidden"), nb::arg("heads"), nb::arg("ffn"), nb::arg("activation"),
          nb::arg("epsilon"), nb::arg("word"), nb::arg("position"), nb::arg("type"), nb::arg("gamma"), nb::arg("beta"),
          nb::arg("layers"), nb::arg("threads"), nb::arg("mapped"))
      .def_prop_ro("isa", [](const NativeEncoder& self) { return std::string(self.encoder().kernels().name); })
      .def_prop_ro("precision",
                   [](const NativeEncoder& self) { return std::string(precision_name(self.encoder().kernels().precision)); })
      .def_prop_ro("packed_bytes", [](const NativeEncoder& self) { return self.encoder().weights().bytes(); })
      .def("encode", &encode, nb::arg("ids"), nb::arg("offsets"), nb::arg("poolings"), nb::arg("first_pooled").none(),
           nb::arg("layers"), nb::arg("threads"), nb::arg("out"))
      .def("hidden_rows", &hidden_rows, nb::arg("ids"), nb::arg("offsets"), nb::arg("layers"), nb::arg("threads"),
           nb::arg("out"));

  m.def("kernels", [] {
    nb::list result;
    for (const Kernels* const* at = all_kernels(); *at != nullptr; ++at) {
      result.append(nb::make_tuple((*at)->name, precision_name((*at)->precision), (*at)->supported()));
    }
    return result;
  }, "Every kernel table that was built, best first, as (name, precision, whether this CPU runs it).");

  m.def("normalize_rows", [](const Floats2& x, const FloatsOut& out) {
    require_shape("out rows", out.shape(0), static_cast<int>(x.shape(0)));
    require_shape("out columns", out.shape(1), static_cast<int>(x.shape(1)));
    const nb::gil_scoped_release release;
    normalize_rows(x.data(), x.shape(0), x.shape(1), out.data());
  }, nb::arg("x"), nb::arg("out"));

  bind_scoring(m);
  bind_text(m);
}
