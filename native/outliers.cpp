#include "outliers.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace crumb {

namespace {

constexpr int kShare = 48;   // a column in so many of the residual stream is split
constexpr int kWeights = 96;  // likewise of the FFN's

// The `count` columns with the highest scores, ascending.
std::vector<int> highest(const std::vector<float>& scores, int count) {
  std::vector<int> columns(scores.size());
  std::iota(columns.begin(), columns.end(), 0);
  std::partial_sort(columns.begin(), columns.begin() + count, columns.end(), [&](int a, int b) {
    const float x = scores[static_cast<std::size_t>(a)];
    const float y = scores[static_cast<std::size_t>(b)];
    return x > y || (x == y && a < b);
  });
  columns.resize(static_cast<std::size_t>(count));
  std::sort(columns.begin(), columns.end());
  return columns;
}

}  // namespace

std::vector<int> outlying_activations(const LayerNorm& embeddings, const std::vector<LayerView>& layers, int hidden) {
  const auto n = static_cast<std::size_t>(hidden);
  std::vector<float> scores(n, 0.0F);
  std::vector<float> reach(n);
  const auto meet = [&](const float* gamma, const float* beta) {
    // a normalised value within three standard deviations, relative to the typical column of its LayerNorm
    for (std::size_t i = 0; i < n; ++i) reach[i] = std::fabs(beta[i]) + 3.0F * std::fabs(gamma[i]);
    std::vector<float> sorted = reach;
    std::nth_element(sorted.begin(), sorted.begin() + hidden / 2, sorted.end());
    const float median = std::max(sorted[n / 2], 1e-12F);
    for (std::size_t i = 0; i < n; ++i) scores[i] = std::max(scores[i], reach[i] / median);
  };
  meet(embeddings.gamma, embeddings.beta);
  for (const LayerView& layer : layers) {
    meet(layer.attention_gamma, layer.attention_beta);
    meet(layer.ffn_gamma, layer.ffn_beta);
  }
  return highest(scores, hidden / kShare);
}

std::vector<int> outlying_weights(const float* weight, int out, int in) {
  std::vector<float> scores(static_cast<std::size_t>(in), 0.0F);
  for (int o = 0; o < out; ++o) {
    const float* row = weight + static_cast<std::ptrdiff_t>(o) * in;
    float squares = 0.0F;
    for (int i = 0; i < in; ++i) squares += row[i] * row[i];
    const float typical = std::max(std::sqrt(squares / static_cast<float>(in)), 1e-12F);
    for (int i = 0; i < in; ++i) {
      float& score = scores[static_cast<std::size_t>(i)];
      score = std::max(score, std::fabs(row[i]) / typical);
    }
  }
  return highest(scores, in / kWeights);
}

}  // namespace crumb
