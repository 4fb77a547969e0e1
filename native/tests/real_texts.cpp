// Real texts on the real model, without Python: how near every kernel table this CPU runs comes to the vectors of a file that
// dump_texts.py wrote elsewhere. For emulated CPUs (emulate.sh).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "../encoder.h"

namespace {

using namespace crumb;

// The file, read front to back.
class Reader {
 public:
  explicit Reader(const char* path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }
  template <class T>
  const T* take(std::size_t count) {
    if ((bytes_.size() - at_) / sizeof(T) < count) throw std::runtime_error("the file is too short");
    const auto* from = reinterpret_cast<const T*>(bytes_.data() + at_);
    at_ += count * sizeof(T);
    return from;
  }
  std::size_t left() const { return bytes_.size() - at_; }

 private:
  std::vector<char> bytes_;
  std::size_t at_ = 0;
};

struct Real {
  Shape shape;
  EmbeddingTables tables;
  std::vector<LayerView> layers;
  std::vector<std::int64_t> offsets;
  const std::int32_t* ids;
  const float* vectors;

  explicit Real(Reader& file) {
    const std::int32_t* head = file.take<std::int32_t>(7);
    shape.vocabulary = head[0];
    shape.positions = head[1];
    shape.hidden = head[2];
    shape.heads = head[3];
    shape.layers = head[4];
    shape.ffn = head[5];
    const auto texts = static_cast<std::size_t>(head[6]);
    const std::int32_t* ends = file.take<std::int32_t>(texts + 1);
    offsets.assign(ends, ends + texts + 1);
    ids = file.take<std::int32_t>(static_cast<std::size_t>(offsets.back()));
    const auto floats = [&](int rows, int columns) {
      return file.take<float>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    };
    const int h = shape.hidden;
    tables.hidden = h;
    tables.word = floats(shape.vocabulary, h);
    tables.position = floats(shape.positions, h);
    tables.type = floats(1, h);
    tables.norm = {floats(1, h), nullptr, shape.epsilon};
    tables.norm.beta = floats(1, h);
    const auto dense = [&](int out, int in) {
      const float* weight = floats(out, in);
      return DenseView{weight, floats(1, out)};
    };
    for (int i = 0; i < shape.layers; ++i) {
      LayerView layer;
      layer.query = dense(h, h);
      layer.key = dense(h, h);
      layer.value = dense(h, h);
      layer.output = dense(h, h);
      layer.attention_gamma = floats(1, h);
      layer.attention_beta = floats(1, h);
      layer.up = dense(shape.ffn, h);
      layer.down = dense(h, shape.ffn);
      layer.ffn_gamma = floats(1, h);
      layer.ffn_beta = floats(1, h);
      layers.push_back(layer);
    }
    vectors = floats(head[6], h);
    if (file.left() > 0) throw std::runtime_error("the file is too long");
  }
};

double cosine(const float* a, const float* b, int n) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (int i = 0; i < n; ++i) {
    ab += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return ab / std::sqrt(aa * bb);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "real_texts FILE [KERNELS...]: FILE by dump_texts.py\n");
    return 2;
  }
  Reader file(argv[1]);
  const Real real(file);
  const RaggedBatch batch{real.ids, real.offsets.data(), real.offsets.size() - 1};
  const double least_allowed[] = {0.999999, 0.9999, 0.997};  // crumb/engine/precision.py
  int failed = 0;
  for (const Kernels* const* at = all_kernels(); *at != nullptr; ++at) {
    const Kernels& kernels = **at;
    const bool named = argc == 2 || std::any_of(argv + 2, argv + argc, [&](const char* name) { return name == std::string(kernels.name); });
    if (!named || !kernels.supported()) continue;
    const Encoder encoder(kernels, Weights(real.shape, real.tables, real.layers, kernels));
    std::vector<float> vectors(batch.texts * static_cast<std::size_t>(real.shape.hidden));
    encoder.encode(batch, {Pooling::mean}, nullptr, {real.shape.layers}, 2, vectors.data());
    double least = 1;
    double sum = 0;
    for (std::size_t i = 0; i < batch.texts; ++i) {
      const std::size_t first = i * static_cast<std::size_t>(real.shape.hidden);
      const double one = cosine(vectors.data() + first, real.vectors + first, real.shape.hidden);
      least = std::min(least, one);
      sum += one;
    }
    const bool good = least >= least_allowed[static_cast<int>(kernels.precision)];
    failed += good ? 0 : 1;
    std::printf("%s%s: cosine of %zu texts, mean %.6f, least %.6f\n", good ? "" : "FAILED ", kernels.name, batch.texts,
                sum / static_cast<double>(batch.texts), least);
  }
  return failed == 0 ? 0 : 1;
}
