// The engine without Python: every kernel table this CPU runs against a naive encoder in double precision, and the same bits
// whatever the batch and the threads. Built by run.sh with sanitizers, or for AArch64 and run under qemu.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#include "../encoder.h"

namespace {

using namespace crumb;
using Matrix = std::vector<float>;

struct Dense {
  Matrix weight, bias;
  DenseView view() const { return {weight.data(), bias.data()}; }
};

struct Layer {
  Dense query, key, value, output, up, down;
  Matrix attention_gamma, attention_beta, ffn_gamma, ffn_beta;
};

// An encoder of random weights, and the same thing done slowly.
struct Model {
  Shape shape;
  Matrix word, position, type, gamma, beta;
  std::vector<Layer> layers;

  Model(Shape wanted, unsigned seed) : shape(wanted) {
    std::mt19937 random(seed);
    const auto fill = [&](int n, float scale, float centre) {
      std::normal_distribution<float> normal(centre, scale);
      Matrix values(static_cast<std::size_t>(n));
      for (float& v : values) v = normal(random);
      return values;
    };
    const int h = shape.hidden;
    const int f = shape.ffn;
    const auto dense = [&](int out, int in) { return Dense{fill(out * in, 0.3F, 0.0F), fill(out, 0.2F, 0.0F)}; };
    word = fill(shape.vocabulary * h, 0.5F, 0.0F);
    position = fill(shape.positions * h, 0.5F, 0.0F);
    type = fill(h, 0.5F, 0.0F);
    gamma = fill(h, 0.2F, 1.0F);
    beta = fill(h, 0.2F, 0.0F);
    for (int i = 0; i < shape.layers; ++i) {
      layers.push_back({dense(h, h), dense(h, h), dense(h, h), dense(h, h), dense(f, h), dense(h, f), fill(h, 0.2F, 1.0F),
                        fill(h, 0.2F, 0.0F), fill(h, 0.2F, 1.0F), fill(h, 0.2F, 0.0F)});
    }
  }

  Encoder encoder(const Kernels& kernels) const {
    EmbeddingTables tables{word.data(), position.data(), type.data(), {gamma.data(), beta.data(), shape.epsilon},
                           shape.hidden};
    std::vector<LayerView> views;
    for (const Layer& l : layers) {
      views.push_back({l.query.view(), l.key.view(), l.value.view(), l.output.view(), l.up.view(), l.down.view(),
                       l.attention_gamma.data(), l.attention_beta.data(), l.ffn_gamma.data(), l.ffn_beta.data()});
    }
    return Encoder(kernels, Weights(shape, tables, views, kernels));
  }

  using Rows = std::vector<std::vector<double>>;

  void norm(std::vector<double>& x, const Matrix& g, const Matrix& b) const {
    double mean = 0;
    double variance = 0;
    for (const double v : x) mean += v / static_cast<double>(x.size());
    for (const double v : x) variance += (v - mean) * (v - mean) / static_cast<double>(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = (x[i] - mean) / std::sqrt(variance + static_cast<double>(shape.epsilon)) * static_cast<double>(g[i]) +
             static_cast<double>(b[i]);
    }
  }

  static Rows apply(const Dense& dense, const Rows& rows) {
    Rows result;
    for (const auto& row : rows) {
      std::vector<double> y(dense.bias.begin(), dense.bias.end());
      for (std::size_t o = 0; o < y.size(); ++o) {
        for (std::size_t i = 0; i < row.size(); ++i) y[o] += static_cast<double>(dense.weight[o * row.size() + i]) * row[i];
      }
      result.push_back(std::move(y));
    }
    return result;
  }

  Rows slow(const std::int32_t* ids, int length) const {
    const auto h = static_cast<std::size_t>(shape.hidden);
    Rows x;
    for (int t = 0; t < length; ++t) {
      std::vector<double> row(h);
      for (std::size_t i = 0; i < h; ++i) {
        row[i] = static_cast<double>(word[static_cast<std::size_t>(ids[t]) * h + i]) +
                 static_cast<double>(position[static_cast<std::size_t>(t) * h + i]) + static_cast<double>(type[i]);
      }
      norm(row, gamma, beta);
      x.push_back(std::move(row));
    }
    const std::size_t size = h / static_cast<std::size_t>(shape.heads);
    for (const Layer& l : layers) {
      const Rows q = apply(l.query, x);
      const Rows k = apply(l.key, x);
      const Rows v = apply(l.value, x);
      Rows context(x.size(), std::vector<double>(h, 0.0));
      for (std::size_t head = 0; head < h; head += size) {
        for (std::size_t a = 0; a < x.size(); ++a) {
          std::vector<double> weights;
          double top = -1e300;
          for (std::size_t b = 0; b < x.size(); ++b) {
            double score = 0;
            for (std::size_t i = head; i < head + size; ++i) score += q[a][i] * k[b][i];
            weights.push_back(score / std::sqrt(static_cast<double>(size)));
            top = std::max(top, weights.back());
          }
          double total = 0;
          for (double& w : weights) total += w = std::exp(w - top);
          for (std::size_t b = 0; b < x.size(); ++b) {
            for (std::size_t i = head; i < head + size; ++i) context[a][i] += weights[b] / total * v[b][i];
          }
        }
      }
      const Rows attended = apply(l.output, context);
      for (std::size_t t = 0; t < x.size(); ++t) {
        for (std::size_t i = 0; i < h; ++i) x[t][i] += attended[t][i];
        norm(x[t], l.attention_gamma, l.attention_beta);
      }
      Rows up = apply(l.up, x);
      for (auto& row : up) {
        for (double& u : row) {
          u = shape.activation == Activation::gelu
                  ? 0.5 * u * (1 + std::erf(u / std::sqrt(2.0)))
                  : 0.5 * u * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (u + 0.044715 * u * u * u)));
        }
      }
      const Rows down = apply(l.down, up);
      for (std::size_t t = 0; t < x.size(); ++t) {
        for (std::size_t i = 0; i < h; ++i) x[t][i] += down[t][i];
        norm(x[t], l.ffn_gamma, l.ffn_beta);
      }
    }
    return x;
  }
};

int passed = 0;
int failed = 0;

void check(bool good, const char* isa, const char* what, unsigned seed) {
  (good ? passed : failed) += 1;
  if (!good) std::printf("FAILED %s: %s (seed %u)\n", isa, what, seed);
}

void one_model(const Kernels& kernels, unsigned seed) {
  std::mt19937 random(seed);
  const auto draw = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  Shape shape;
  shape.heads = draw(1, 4);
  shape.hidden = shape.heads * draw(1, std::max(1, 36 / kernels.size_multiple)) * kernels.size_multiple;
  shape.layers = draw(1, 2);
  shape.ffn = draw(1, std::max(1, 90 / kernels.size_multiple)) * kernels.size_multiple;
  shape.vocabulary = 40;
  shape.positions = 150;
  shape.activation = draw(0, 1) == 0 ? Activation::gelu : Activation::gelu_tanh;
  const Model model(shape, seed);
  const Encoder encoder = model.encoder(kernels);

  std::vector<std::int64_t> offsets{0};
  for (int n = draw(1, 5); n > 0; --n) offsets.push_back(offsets.back() + draw(1, 150));
  std::vector<std::int32_t> ids(static_cast<std::size_t>(offsets.back()));
  for (std::int32_t& id : ids) id = draw(0, 39);
  const RaggedBatch batch{ids.data(), offsets.data(), offsets.size() - 1};
  encoder.check(batch, offsets.back());

  const auto h = static_cast<std::size_t>(shape.hidden);
  std::vector<float> rows(ids.size() * h);
  encoder.hidden_rows(batch, shape.layers, 2, rows.data());
  double difference = 0;
  double size = 0;
  for (std::size_t text = 0; text < batch.texts; ++text) {
    const auto begin = static_cast<std::size_t>(offsets[text]);
    const Model::Rows slow = model.slow(ids.data() + begin, batch.length(text));
    for (std::size_t t = 0; t < slow.size(); ++t) {
      for (std::size_t i = 0; i < h; ++i) {
        const double d = slow[t][i] - static_cast<double>(rows[(begin + t) * h + i]);
        difference += d * d;
        size += slow[t][i] * slow[t][i];
      }
    }
  }
  // Random weights make sharp attention and no two rows alike, which is far harder than a trained model
  const double share = std::sqrt(difference / size);
  const double tolerances[] = {1e-5, 0.05, 0.15};
  if (share >= tolerances[static_cast<int>(kernels.precision)]) std::printf("relative difference %g\n", share);
  check(share < tolerances[static_cast<int>(kernels.precision)], kernels.name, "hidden rows differ from the naive encoder",
        seed);

  const std::vector<Pooling> poolings{Pooling::cls, Pooling::max, Pooling::mean, Pooling::mean_sqrt_len,
                                      Pooling::lasttoken};
  const std::size_t width = poolings.size() * h;
  std::vector<float> together(batch.texts * width);
  encoder.encode(batch, poolings, nullptr, shape.layers, 3, together.data());
  for (std::size_t text = 0; text < batch.texts; ++text) {
    const std::int64_t alone_offsets[2] = {0, batch.length(text)};
    const RaggedBatch alone{ids.data() + offsets[text], alone_offsets, 1};
    std::vector<float> vector(width);
    encoder.encode(alone, poolings, nullptr, shape.layers, 1, vector.data());
    check(std::memcmp(vector.data(), together.data() + text * width, width * sizeof(float)) == 0, kernels.name,
          "bits depend on the batch", seed);
  }
}

template <class Call>
void throws(Call call, const char* isa, const char* what) {
  bool thrown = false;
  try {
    call();
  } catch (const std::invalid_argument&) {
    thrown = true;
  }
  check(thrown, isa, what, 0);
}

}  // namespace

int main(int argc, char** argv) {
  const int models = argc > 1 ? std::atoi(argv[1]) : 40;
  for (const Kernels* const* at = all_kernels(); *at != nullptr; ++at) {
    if (!(*at)->supported()) {
      std::printf("%s: not run by this CPU\n", (*at)->name);
      continue;
    }
    std::printf("%s\n", (*at)->name);
    for (unsigned seed = 0; seed < static_cast<unsigned>(models); ++seed) one_model(**at, seed);
  }

  Shape shape;
  shape.heads = shape.hidden = shape.ffn = shape.layers = 1;
  shape.vocabulary = shape.positions = 4;
  Model model(shape, 1);
  const Encoder encoder = model.encoder(select_kernels("portable", Precision::float32, 1));
  const std::int32_t ids[2] = {1, 4};
  const std::int64_t two[2] = {0, 2};
  const std::int64_t none[3] = {0, 0, 2};
  throws([&] { encoder.check({ids, two, 1}, 2); }, "portable", "an id outside the vocabulary");
  throws([&] { encoder.check({ids, none, 2}, 2); }, "portable", "a text without tokens");
  throws([&] { encoder.check({ids, two, 1}, 1); }, "portable", "offsets that do not end with the ids");
  for (const Kernels* const* at = all_kernels(); *at != nullptr; ++at) {
    if (!(*at)->supported() || (*at)->size_multiple == 1) continue;
    Shape odd = shape;
    throws([&] { Model(odd, 1).encoder(**at); }, (*at)->name, "sizes that are no multiples of the size");
  }
  throws([] { select_kernels("none such", Precision::float32, 1); }, "none", "unknown kernels");
  model.layers[0].up.weight[0] = NAN;
  throws([&] { model.encoder(select_kernels("portable", Precision::float32, 1)); }, "portable", "a weight that is not finite");

  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
