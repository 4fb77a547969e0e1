// One group of neighbouring texts through the layers.
//
// Enters: packed weights and the group's token ids. Leaves: hidden rows, or their pooled vectors. Knows nothing of threads:
// every step is a list of independent tasks handed to `Parallel`, so the same code serves one thread with a whole group and
// a team that shares it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "buffer.h"
#include "kernels/table.h"
#include "pooling.h"
#include "weights.h"

namespace crumb {

// `texts` + 1 offsets into `ids`; text i is ids[offsets[i], offsets[i + 1]).
struct RaggedBatch {
  const std::int32_t* ids = nullptr;
  const std::int64_t* offsets = nullptr;
  std::size_t texts = 0;

  int length(std::size_t i) const { return static_cast<int>(offsets[i + 1] - offsets[i]); }
};

// The texts [first, last) of a batch, `rows` tokens in all.
struct Group {
  std::size_t first = 0;
  std::size_t last = 0;
  int rows = 0;
};

// What a group keeps from step to step; grows, never shrinks, so that the next group of a worker finds it ready.
struct Rows {
  int capacity = 0;
  Buffer<float> x;                 // [rows][hidden], the residual stream
  Buffer<std::byte> qkv, context;  // elements [rows][3 * hidden], [rows][hidden]
  std::vector<std::int32_t> positions;

  void reserve(int rows, int hidden, int element);
};

// What one worker needs inside a task.
struct Bench {
  Buffer<std::byte> ffn;      // elements [block][ffn]
  Buffer<std::byte> operand;  // what a linear layer multiplies, where that is not the rows themselves
  Buffer<float> attention;
  std::size_t attention_floats = 0;
};

// parallel(count, task) runs task(index, worker) for every index below count, in any order.
using Task = std::function<void(std::size_t, int)>;
using Parallel = std::function<void(std::size_t, const Task&)>;

class Forward {
 public:
  // One bench for every worker that `parallel` may name.
  Forward(const Kernels& kernels, const Weights& weights, const RaggedBatch& batch, const Group& group, Rows& rows,
          std::vector<Bench>& benches, const Parallel& parallel);

  // Embedding rows and the first `layers` layers. Calls after_layer(i), unless it is empty, once the first i layers are done,
  // 1 to `layers`: what is read then is what run(i) would leave.
  void run(int layers, const std::function<void(int)>& after_layer = {});

  // After a layer: [group.rows][hidden]
  const float* hidden_rows() const { return rows_.x.get(); }

  // After a layer: pools every text of the group into its row of out[texts][poolings * hidden]. `first_pooled` may be null.
  void pool_into(const std::vector<Pooling>& poolings, const std::int32_t* first_pooled, float* out) const;

 private:
  // One head of one text, for a range of query rows.
  struct Job {
    int row, length, begin, end, head;
  };

  int row_of(std::size_t text) const { return static_cast<int>(batch_.offsets[text] - batch_.offsets[group_.first]); }
  float* x(int row) const { return rows_.x.get() + static_cast<std::ptrdiff_t>(row) * weights_.shape().hidden; }
  // The element at `column` of `row`, rows being `width` times hidden elements wide
  std::byte* at(const Buffer<std::byte>& buffer, int width, int row, int column = 0) const {
    const auto index = static_cast<std::ptrdiff_t>(row) * width * weights_.shape().hidden + column;
    return buffer.get() + index * kernels_.element;
  }
  int rows_in(int block) const;
  Operand operand_of_x(const PackedLinear& w, int block, int worker) const;
  Operand operand_of_elements(const PackedLinear& w, const void* elements, int rows, int worker) const;

  void run_by_rows(int layers, const std::function<void(int)>& after_layer);
  void run_by_columns(int layers, const std::function<void(int)>& after_layer);
  // part(columns of w, the first of them) for the share of each worker
  void by_columns(const PackedLinear& w, const std::function<void(const PackedLinear&, int)>& part);

  void embed(int block);
  void project(const PackedLayer& layer, int block, int worker);
  void attend_all();
  void attend(const Job& job, int worker);
  void finish(const PackedLayer& layer, int block, int worker);

  const Kernels& kernels_;
  const Weights& weights_;
  const RaggedBatch& batch_;
  const Group& group_;
  Rows& rows_;
  std::vector<Bench>& benches_;
  const Parallel& parallel_;
  bool narrow_ = false;  // so few rows that the workers share columns
  int block_ = 0;        // rows of a block
  int blocks_ = 0;
  std::vector<Job> jobs_;
};

}  // namespace crumb
