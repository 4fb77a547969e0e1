#include "weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace crumb {

namespace {

void require_finite(const float* values, std::size_t count) {
  // A sum is finite only if every term is (overflow cannot happen in float64), and it vectorises where a test does not.
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) sum += std::fabs(static_cast<double>(values[i]));
  if (!std::isfinite(sum)) throw std::invalid_argument("a weight is NaN or infinite: the checkpoint is damaged");
}

}  // namespace

Weights::Weights(const Shape& shape, const EmbeddingTables& embeddings, const std::vector<LayerView>& layers,
                 const Kernels& kernels)
    : shape_(shape), embeddings_(embeddings) {
  const int hidden = shape.hidden;
  if (hidden % kernels.depth != 0 || shape.ffn % kernels.depth != 0 || (hidden / shape.heads) % kernels.depth != 0) {
    throw std::invalid_argument("the kernels '" + std::string(kernels.name) + "' need hidden, FFN and head sizes that are " +
                                "multiples of " + std::to_string(kernels.depth) + ", got " + std::to_string(hidden) + ", " +
                                std::to_string(shape.ffn) + " and " + std::to_string(hidden / shape.heads));
  }
  embeddings_.type = keep(embeddings.type, hidden);
  embeddings_.norm = {keep(embeddings.norm.gamma, hidden), keep(embeddings.norm.beta, hidden), shape.epsilon};
  for (const LayerView& from : layers) {
    PackedLayer to;
    to.qkv = pack({from.query, from.key, from.value}, hidden, hidden, kernels);
    to.output = pack({from.output}, hidden, hidden, kernels);
    to.up = pack({from.up}, shape.ffn, hidden, kernels);
    to.down = pack({from.down}, hidden, shape.ffn, kernels);
    to.attention_norm = {keep(from.attention_gamma, hidden), keep(from.attention_beta, hidden), shape.epsilon};
    to.ffn_norm = {keep(from.ffn_gamma, hidden), keep(from.ffn_beta, hidden), shape.epsilon};
    layers_.push_back(to);
  }
}

const float* Weights::keep(const float* values, int count) {
  require_finite(values, static_cast<std::size_t>(count));
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(float);
  memory_.push_back(make_buffer<std::byte>(bytes));
  std::memcpy(memory_.back().get(), values, bytes);
  bytes_ += bytes;
  return reinterpret_cast<const float*>(memory_.back().get());
}

PackedLinear Weights::pack(const std::vector<DenseView>& stacked, int out_each, int in, const Kernels& kernels) {
  const int panel = kernels.panel;
  const int depth = kernels.depth;
  const int out = out_each * static_cast<int>(stacked.size());
  const auto padded = static_cast<std::size_t>((out + panel - 1) / panel * panel);
  const std::size_t cells = padded * static_cast<std::size_t>(in);
  const std::size_t matrix = (cells * static_cast<std::size_t>(kernels.element) + 63) / 64 * 64;
  memory_.push_back(make_buffer<std::byte>(matrix + padded * sizeof(float)));
  std::byte* memory = memory_.back().get();
  auto* bias = reinterpret_cast<float*>(memory + matrix);
  std::fill_n(bias, padded, 0.0F);

  // One panel at a time in float32, then as elements: [in / depth][panel][depth]
  const std::size_t panel_cells = static_cast<std::size_t>(panel) * static_cast<std::size_t>(in);
  Buffer<float> staged = make_buffer<float>(panel_cells);
  for (int column = 0; column < static_cast<int>(padded); column += panel) {
    std::fill_n(staged.get(), panel_cells, 0.0F);
    for (int c = 0; c < panel && column + c < out; ++c) {
      const DenseView& from = stacked[static_cast<std::size_t>((column + c) / out_each)];
      const int output = (column + c) % out_each;
      const float* row = from.weight + static_cast<std::ptrdiff_t>(output) * in;
      for (int i = 0; i < in; ++i) {
        staged[static_cast<std::size_t>((i / depth * panel + c) * depth + i % depth)] = row[i];
      }
      bias[column + c] = from.bias[output];
    }
    require_finite(staged.get(), panel_cells);
    kernels.convert(staged.get(), panel_cells,
                    memory + static_cast<std::size_t>(column) * static_cast<std::size_t>(in) *
                                 static_cast<std::size_t>(kernels.element));
  }
  require_finite(bias, padded);
  bytes_ += matrix + padded * sizeof(float);
  return {memory, bias, in, out};
}

}  // namespace crumb
