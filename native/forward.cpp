#include "forward.h"

#include <algorithm>
#include <cmath>

namespace crumb {

namespace {

constexpr int kTasksPerWorker = 4;  // attention tasks wanted for each of several workers, so that none waits for long

int ceil_div(int a, int b) { return (a + b - 1) / b; }

int round_up(int a, int b) { return ceil_div(a, b) * b; }

}  // namespace

void Rows::reserve(int rows, int hidden, int element) {
  if (rows <= capacity) return;
  const std::size_t cells = static_cast<std::size_t>(rows) * static_cast<std::size_t>(hidden);
  x = make_buffer<float>(cells);
  const std::size_t bytes = cells * static_cast<std::size_t>(element);
  qkv = make_buffer<std::byte>(3 * bytes);
  context = make_buffer<std::byte>(bytes);
  positions.resize(static_cast<std::size_t>(rows));
  capacity = rows;
}

Forward::Forward(const Kernels& kernels, const Weights& weights, const RaggedBatch& batch, const Group& group, Rows& rows,
                 std::vector<Bench>& benches, const Parallel& parallel)
    : kernels_(kernels), weights_(weights), batch_(batch), group_(group), rows_(rows), benches_(benches),
      parallel_(parallel) {
  const Shape& shape = weights_.shape();
  const int workers = static_cast<int>(benches.size());
  const int largest = round_up(kernels_.block_rows, kernels_.row_tile);
  rows_.reserve(group.rows, shape.hidden, kernels_.element);

  // Alone, blocks are as large as the cache likes; a team gets at least two a worker, in whole tiles. Where there are too few
  // rows for that, the columns are shared and all rows are one block.
  block_ = largest;
  narrow_ = workers > 1 && group.rows < 2 * workers * kernels_.row_tile && group.rows <= largest;
  if (narrow_) {
    block_ = group.rows;
  } else if (workers > 1) {
    block_ = std::min(round_up(ceil_div(group.rows, 2 * workers), kernels_.row_tile), largest);
  }
  blocks_ = ceil_div(group.rows, block_);

  // A task is a head of a text. Where there are too few, a head's query rows are split, though each part packs its keys anew.
  const int tasks = shape.heads * static_cast<int>(group.last - group.first);
  const int parts = workers > 1 ? ceil_div(kTasksPerWorker * workers, tasks) : 1;
  std::size_t floats = 0;
  for (std::size_t text = group.first; text < group.last; ++text) {
    const int length = batch.length(text);
    const int range = round_up(ceil_div(length, parts), kernels_.row_tile);
    for (int head = 0; head < shape.heads; ++head) {
      for (int begin = 0; begin < length; begin += range) {
        jobs_.push_back({row_of(text), length, begin, std::min(begin + range, length), head});
      }
    }
    floats = std::max(floats, kernels_.attention_scratch(length, shape.hidden / shape.heads));
  }
  std::ptrdiff_t stride = 0;
  if (shape.layers > 0) {
    const PackedLayer& layer = weights_.layer(0);
    for (const PackedLinear* w : {&layer.qkv, &layer.output, &layer.up, &layer.down}) {
      stride = std::max(stride, kernels_.operand_stride(*w));
    }
  }
  for (Bench& bench : benches_) {
    if (bench.ffn == nullptr) {
      if (kernels_.operand_of_x != nullptr) {
        bench.operand = make_buffer<std::byte>(static_cast<std::size_t>(largest) * static_cast<std::size_t>(stride));
      }
      bench.ffn = make_buffer<std::byte>(static_cast<std::size_t>(largest) * static_cast<std::size_t>(shape.ffn) *
                                         static_cast<std::size_t>(kernels_.element));
    }
    if (bench.attention_floats < floats) {
      bench.attention = make_buffer<float>(floats);
      bench.attention_floats = floats;
    }
  }
}

void Forward::run(int layers, const std::function<void(int)>& after_layer) {
  if (narrow_) {
    run_by_columns(layers, after_layer);
  } else {
    run_by_rows(layers, after_layer);
  }
}

// Two phases a layer: what follows attention and the next layer's projections touch a block's own rows only, so they are
// one task. The projections leave the hidden rows as they are, so those of a layer can still be read after both.
void Forward::run_by_rows(int layers, const std::function<void(int)>& after_layer) {
  const auto blocks = static_cast<std::size_t>(blocks_);
  parallel_(blocks, [&](std::size_t block, int worker) {
    embed(static_cast<int>(block));
    if (layers > 0) project(weights_.layer(0), static_cast<int>(block), worker);
  });
  for (int i = 0; i < layers; ++i) {
    attend_all();
    parallel_(blocks, [&](std::size_t block, int worker) {
      finish(weights_.layer(i), static_cast<int>(block), worker);
      if (i + 1 < layers) project(weights_.layer(i + 1), static_cast<int>(block), worker);
    });
    if (after_layer) after_layer(i + 1);
  }
}

// Five phases a layer, but each weight is read by one worker only: the time of a few rows is the time it takes to read the
// weights. What is small (LayerNorm, a linear layer's operand) the caller does between the phases.
void Forward::run_by_columns(int layers, const std::function<void(int)>& after_layer) {
  const Shape& shape = weights_.shape();
  const int rows = group_.rows;
  std::byte* ffn = benches_[0].ffn.get();
  const auto add_and_norm = [&](const PackedLinear& w, const void* elements, const LayerNorm& norm) {
    const Operand a = operand_of_elements(w, elements, rows, 0);
    by_columns(w, [&](const PackedLinear& part, int column) { kernels_.linear_add(part, a, rows, x(0) + column, shape.hidden); });
    kernels_.layer_norm(norm, x(0), rows, shape.hidden);
  };
  embed(0);
  for (int i = 0; i < layers; ++i) {
    const PackedLayer& layer = weights_.layer(i);
    const Operand projected = operand_of_x(layer.qkv, 0, 0);
    by_columns(layer.qkv, [&](const PackedLinear& part, int column) {
      kernels_.linear(part, projected, rows, at(rows_.qkv, 3, 0, column), 3 * shape.hidden);
    });
    attend_all();
    add_and_norm(layer.output, rows_.context.get(), layer.attention_norm);
    const Operand lifted = operand_of_x(layer.up, 0, 0);
    by_columns(layer.up, [&](const PackedLinear& part, int column) {
      kernels_.linear_activation(part, lifted, rows, ffn + static_cast<std::ptrdiff_t>(column) * kernels_.element, shape.ffn,
                                 shape.activation);
    });
    add_and_norm(layer.down, ffn, layer.ffn_norm);
    if (after_layer) after_layer(i + 1);
  }
}

void Forward::by_columns(const PackedLinear& w, const std::function<void(const PackedLinear&, int)>& part) {
  const int panels = ceil_div(w.out, kernels_.panel);
  const int share = ceil_div(panels, static_cast<int>(benches_.size()));
  parallel_(static_cast<std::size_t>(ceil_div(panels, share)), [&](std::size_t task, int) {
    const int first = static_cast<int>(task) * share;
    part(columns_of(w, kernels_, first, share), first * kernels_.panel);
  });
}

void Forward::pool_into(const std::vector<Pooling>& poolings, const std::int32_t* first_pooled, float* out) const {
  const int hidden = weights_.shape().hidden;
  const std::size_t width = poolings.size() * static_cast<std::size_t>(hidden);
  std::vector<double> sums(static_cast<std::size_t>(hidden));
  for (std::size_t text = group_.first; text < group_.last; ++text) {
    const int first = first_pooled == nullptr ? 0 : first_pooled[text];
    float* to = out + text * width;
    for (const Pooling pooling : poolings) {
      pool(pooling, x(row_of(text)), first, batch_.length(text), hidden, sums.data(), to);
      to += hidden;
    }
  }
}

int Forward::rows_in(int block) const { return std::min(block_, group_.rows - block * block_); }

void Forward::embed(int block) {
  const int begin = block * block_;
  const int rows = rows_in(block);
  const std::int64_t base = batch_.offsets[group_.first];
  const std::int64_t* upper = std::upper_bound(batch_.offsets + group_.first, batch_.offsets + group_.last, base + begin);
  std::size_t text = static_cast<std::size_t>(upper - batch_.offsets) - 1;
  for (int r = begin; r < begin + rows; ++r) {
    while (base + r >= batch_.offsets[text + 1]) ++text;
    rows_.positions[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(base + r - batch_.offsets[text]);
  }
  kernels_.embed(weights_.embeddings(), batch_.ids + base + begin, rows_.positions.data() + begin, rows, x(begin));
}

Operand Forward::operand_of_x(const PackedLinear& w, int block, int worker) const {
  const float* from = x(block * block_);
  if (kernels_.operand_of_x == nullptr) return {from, w.in * static_cast<std::ptrdiff_t>(sizeof(float))};
  std::byte* to = benches_[static_cast<std::size_t>(worker)].operand.get();
  kernels_.operand_of_x(w, from, rows_in(block), to);
  return {to, kernels_.operand_stride(w)};
}

Operand Forward::operand_of_elements(const PackedLinear& w, const void* elements, int rows, int worker) const {
  if (kernels_.operand_of_elements == nullptr) return {elements, static_cast<std::ptrdiff_t>(w.in) * kernels_.element};
  std::byte* to = benches_[static_cast<std::size_t>(worker)].operand.get();
  kernels_.operand_of_elements(w, elements, rows, to);
  return {to, kernels_.operand_stride(w)};
}

void Forward::project(const PackedLayer& layer, int block, int worker) {
  const int begin = block * block_;
  kernels_.linear(layer.qkv, operand_of_x(layer.qkv, block, worker), rows_in(block), at(rows_.qkv, 3, begin),
                  3 * weights_.shape().hidden);
}

void Forward::attend_all() {
  parallel_(jobs_.size(), [&](std::size_t job, int worker) { attend(jobs_[job], worker); });
}

void Forward::attend(const Job& job, int worker) {
  const Shape& shape = weights_.shape();
  const int head_size = shape.hidden / shape.heads;
  AttentionJob task;
  task.stride = 3 * shape.hidden;
  task.query = at(rows_.qkv, 3, job.row, job.head * head_size);
  task.key = at(rows_.qkv, 3, job.row, shape.hidden + job.head * head_size);
  task.value = at(rows_.qkv, 3, job.row, 2 * shape.hidden + job.head * head_size);
  task.out = at(rows_.context, 1, job.row, job.head * head_size);
  task.out_stride = shape.hidden;
  task.length = job.length;
  task.query_begin = job.begin;
  task.query_end = job.end;
  task.head_size = head_size;
  task.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_size)));
  task.scratch = benches_[static_cast<std::size_t>(worker)].attention.get();
  kernels_.attention(task);
}

// Attention output, residual, LayerNorm; FFN, residual, LayerNorm.
void Forward::finish(const PackedLayer& layer, int block, int worker) {
  const Shape& shape = weights_.shape();
  const int begin = block * block_;
  const int rows = rows_in(block);
  std::byte* ffn = benches_[static_cast<std::size_t>(worker)].ffn.get();
  const auto add_and_norm = [&](const PackedLinear& w, const void* elements, const LayerNorm& norm) {
    kernels_.linear_add(w, operand_of_elements(w, elements, rows, worker), rows, x(begin), shape.hidden);
    kernels_.layer_norm(norm, x(begin), rows, shape.hidden);
  };
  add_and_norm(layer.output, at(rows_.context, 1, begin), layer.attention_norm);
  kernels_.linear_activation(layer.up, operand_of_x(layer.up, block, worker), rows, ffn, shape.ffn, shape.activation);
  add_and_norm(layer.down, ffn, layer.ffn_norm);
}

}  // namespace crumb
