#include "weights.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace crumb {

namespace {

void require_finite(const float* values, std::size_t count) {
  // A sum is finite only if every term is (overflow cannot happen in float64), and it vectorises where a test does not.
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) sum += std::fabs(static_cast<double>(values[i]));
  if (!std::isfinite(sum)) throw std::invalid_argument("a weight is NaN or infinite: the checkpoint is damaged");
}

}  // namespace

Weights::Weights(const Shape& shape, const EmbeddingTables& embeddings, const std::vector<LayerView>& layers, int panel)
    : shape_(shape), embeddings_(embeddings) {
  const int hidden = shape.hidden;
  embeddings_.type = keep(embeddings.type, hidden);
  embeddings_.norm = {keep(embeddings.norm.gamma, hidden), keep(embeddings.norm.beta, hidden), shape.epsilon};
  for (const LayerView& from : layers) {
    PackedLayer to;
    to.qkv = pack({from.query, from.key, from.value}, hidden, hidden, panel);
    to.output = pack({from.output}, hidden, hidden, panel);
    to.up = pack({from.up}, shape.ffn, hidden, panel);
    to.down = pack({from.down}, hidden, shape.ffn, panel);
    to.attention_norm = {keep(from.attention_gamma, hidden), keep(from.attention_beta, hidden), shape.epsilon};
    to.ffn_norm = {keep(from.ffn_gamma, hidden), keep(from.ffn_beta, hidden), shape.epsilon};
    layers_.push_back(to);
  }
}

const float* Weights::keep(const float* values, int count) {
  require_finite(values, static_cast<std::size_t>(count));
  Buffer<float> copy = make_buffer<float>(static_cast<std::size_t>(count));
  std::copy_n(values, count, copy.get());
  bytes_ += static_cast<std::size_t>(count) * sizeof(float);
  memory_.push_back(std::move(copy));
  return memory_.back().get();
}

PackedLinear Weights::pack(const std::vector<DenseView>& stacked, int out_each, int in, int panel) {
  const int out = out_each * static_cast<int>(stacked.size());
  const std::size_t padded = static_cast<std::size_t>((out + panel - 1) / panel * panel);
  const std::size_t matrix = padded * static_cast<std::size_t>(in);
  Buffer<float> memory = make_buffer<float>(matrix + padded);
  std::fill_n(memory.get() + matrix, padded, 0.0F);
  float* bias = memory.get() + matrix;

  for (std::size_t column = 0; column < padded; column += static_cast<std::size_t>(panel)) {
    float* to = memory.get() + column * static_cast<std::size_t>(in);
    for (int c = 0; c < panel; ++c) {
      const int output = static_cast<int>(column) + c;
      if (output >= out) {
        for (int i = 0; i < in; ++i) to[static_cast<std::ptrdiff_t>(i) * panel + c] = 0.0F;
        continue;
      }
      const DenseView& from = stacked[static_cast<std::size_t>(output / out_each)];
      const float* row = from.weight + static_cast<std::ptrdiff_t>(output % out_each) * in;
      for (int i = 0; i < in; ++i) to[static_cast<std::ptrdiff_t>(i) * panel + c] = row[i];
      bias[output] = from.bias[output % out_each];
    }
  }
  require_finite(memory.get(), matrix + padded);
  bytes_ += (matrix + padded) * sizeof(float);
  const PackedLinear packed{memory.get(), bias, in, out};
  memory_.push_back(std::move(memory));
  return packed;
}

}  // namespace crumb
