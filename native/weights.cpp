#include "weights.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "outliers.h"

namespace crumb {

namespace {

int round_up(int n, int to) { return (n + to - 1) / to * to; }

void require_finite(const float* values, std::size_t count) {
  // A sum is finite only if every term is (overflow cannot happen in float64), and it vectorises where a test does not.
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) sum += std::fabs(static_cast<double>(values[i]));
  if (!std::isfinite(sum)) throw std::invalid_argument("a weight is NaN or infinite: the checkpoint is damaged");
}

// Pages that lie whole within the values, of a mapped file: the next reader finds them in the file.
void give_back(const float* values, std::size_t count) {
#if defined(__unix__) || defined(__APPLE__)
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(values) + page - 1) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(values + count) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
#endif
}

}  // namespace

PackedLinear columns_of(const PackedLinear& w, const Kernels& kernels, int first, int panels) {
  const int column = first * kernels.panel;
  PackedLinear part = w;
  part.weights = static_cast<const std::byte*>(w.weights) +
                 static_cast<std::ptrdiff_t>(column) * w.slots * kernels.weight;
  part.bias = w.bias + column;
  if (w.step != nullptr) part.step = w.step + column;
  if (w.sums != nullptr) part.sums = w.sums + column;
  part.out = std::min(panels * kernels.panel, w.out - column);
  return part;
}

Weights::Weights(const Shape& shape, const EmbeddingTables& embeddings, const std::vector<LayerView>& layers,
                 const Kernels& kernels, const Packing& packing)
    : shape_(shape), embeddings_(embeddings) {
  const int hidden = shape.hidden;
  const int multiple = kernels.size_multiple;
  if (hidden % multiple != 0 || shape.ffn % multiple != 0 || (hidden / shape.heads) % multiple != 0) {
    throw std::invalid_argument("the kernels '" + std::string(kernels.name) + "' need hidden, FFN and head sizes that are " +
                                "multiples of " + std::to_string(multiple) + ", got " + std::to_string(hidden) + ", " +
                                std::to_string(shape.ffn) + " and " + std::to_string(hidden / shape.heads));
  }
  embeddings_.type = keep(embeddings.type, hidden);
  embeddings_.norm = {keep(embeddings.norm.gamma, hidden), keep(embeddings.norm.beta, hidden), shape.epsilon};
  const bool bytes = kernels.precision == Precision::int8;
  const Split none;
  const Split rows = bytes ? keep(Split::What::rows, outlying_activations(embeddings_.norm, layers, hidden), hidden) : none;
  Team team(packing.threads);
  std::vector<std::vector<int>> outlying(layers.size());
  if (bytes) {
    team.run(layers.size(), [&](std::size_t i, int) { outlying[i] = outlying_weights(layers[i].down.weight, hidden, shape.ffn); });
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerView& from = layers[i];
    PackedLayer to;
    to.qkv = pack({from.query, from.key, from.value}, hidden, hidden, rows, kernels, team);
    to.output = pack({from.output}, hidden, hidden, none, kernels, team);
    to.up = pack({from.up}, shape.ffn, hidden, rows, kernels, team);
    to.down = pack({from.down}, hidden, shape.ffn, keep(Split::What::weights, std::move(outlying[i]), shape.ffn), kernels, team);
    to.attention_norm = {keep(from.attention_gamma, hidden), keep(from.attention_beta, hidden), shape.epsilon};
    to.ffn_norm = {keep(from.ffn_gamma, hidden), keep(from.ffn_beta, hidden), shape.epsilon};
    layers_.push_back(to);
    if (!packing.mapped) continue;
    const auto square = static_cast<std::size_t>(hidden) * static_cast<std::size_t>(hidden);
    const auto wide = static_cast<std::size_t>(hidden) * static_cast<std::size_t>(shape.ffn);
    for (const DenseView& view : {from.query, from.key, from.value, from.output}) give_back(view.weight, square);
    for (const DenseView& view : {from.up, from.down}) give_back(view.weight, wide);
  }
}

std::byte* Weights::keep_bytes(std::size_t bytes) {
  memory_.push_back(make_buffer<std::byte>(bytes));
  bytes_ += bytes;
  return memory_.back().get();
}

const float* Weights::keep(const float* values, int count) {
  require_finite(values, static_cast<std::size_t>(count));
  std::byte* to = keep_bytes(static_cast<std::size_t>(count) * sizeof(float));
  std::memcpy(to, values, static_cast<std::size_t>(count) * sizeof(float));
  return reinterpret_cast<const float*>(to);
}

Split Weights::keep(Split::What what, std::vector<int> columns, int in) {
  if (columns.empty()) return {};
  auto* kept = reinterpret_cast<std::int32_t*>(keep_bytes(columns.size() * sizeof(std::int32_t)));
  auto* thirds = reinterpret_cast<float*>(keep_bytes(static_cast<std::size_t>(in) * sizeof(float)));
  std::copy(columns.begin(), columns.end(), kept);
  std::fill_n(thirds, in, 1.0F);
  for (const int column : columns) thirds[column] = 1.0F / 3.0F;
  return {what, kept, static_cast<int>(columns.size()), thirds};
}

PackedLinear Weights::pack(const std::vector<DenseView>& stacked, int out_each, int in, const Split& split,
                           const Kernels& kernels, Team& team) {
  PackedLinear linear;
  linear.in = in;
  linear.slots = round_up(in + 2 * split.count, kernels.slot_multiple);
  linear.out = out_each * static_cast<int>(stacked.size());
  linear.split = split;
  const int padded = round_up(linear.out, kernels.panel);
  const std::size_t panel_bytes = static_cast<std::size_t>(kernels.panel) * static_cast<std::size_t>(linear.slots) *
                                  static_cast<std::size_t>(kernels.weight);
  const bool bytes = kernels.precision == Precision::int8;
  std::byte* weights = keep_bytes(panel_bytes * static_cast<std::size_t>(padded / kernels.panel));
  auto* bias = reinterpret_cast<float*>(keep_bytes(static_cast<std::size_t>(padded) * (bytes ? 3 : 1) * sizeof(float)));
  float* step = bytes ? bias + padded : nullptr;
  float* sums = bytes ? step + padded : nullptr;
  linear.weights = weights;
  linear.bias = bias;
  linear.step = step;
  linear.sums = sums;
  team.run(static_cast<std::size_t>(padded / kernels.panel), [&](std::size_t panel, int) {
    const int first = static_cast<int>(panel) * kernels.panel;
    const int count = std::min(kernels.panel, linear.out - first);
    std::vector<const float*> rows(static_cast<std::size_t>(kernels.panel));
    for (int c = 0; c < kernels.panel; ++c) {
      bias[first + c] = 0.0F;
      if (c >= count) continue;
      const DenseView& from = stacked[static_cast<std::size_t>((first + c) / out_each)];
      const int output = (first + c) % out_each;
      rows[static_cast<std::size_t>(c)] = from.weight + static_cast<std::ptrdiff_t>(output) * in;
      bias[first + c] = from.bias[output];
      require_finite(rows[static_cast<std::size_t>(c)], static_cast<std::size_t>(in));
    }
    require_finite(bias + first, static_cast<std::size_t>(kernels.panel));
    kernels.pack(linear, rows.data(), count, weights + panel * panel_bytes, bytes ? step + first : nullptr,
                 bytes ? sums + first : nullptr);
  });
  return linear;
}

}  // namespace crumb
