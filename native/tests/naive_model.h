// An encoder of random weights, and the same thing done slowly in double precision: what the engine's tests hold it against.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "../encoder.h"

namespace crumb::tests {

using Matrix = std::vector<float>;

struct Dense {
  Matrix weight, bias;
  DenseView view() const { return {weight.data(), bias.data()}; }
};

struct Layer {
  Dense query, key, value, output, up, down;
  Matrix attention_gamma, attention_beta, ffn_gamma, ffn_beta;
};

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
    // Every other model has logits as large as trained ones have, the others so large that attention is sharp.
    const auto dense = [&](int out, int in) {
      const float size = seed % 2 == 0 ? 0.3F : 1.0F / std::sqrt(static_cast<float>(in));
      return Dense{fill(out * in, size, 0.0F), fill(out, 0.2F, 0.0F)};
    };
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

}  // namespace crumb::tests
