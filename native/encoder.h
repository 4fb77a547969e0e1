// The encoder: token ids of a ragged batch in, pooled vectors or hidden rows out.
//
// Knows nothing of text, prompts, truncation or normalisation. No padding anywhere: texts lie one behind the other and every
// row is real. A text's vector has the same bits whatever its batch, its place in it and the number of threads, because no
// sum ever crosses from one text to another or depends on how rows are dealt out.
#pragma once

#include <cstdint>
#include <vector>

#include "forward.h"
#include "kernels/table.h"
#include "pooling.h"
#include "weights.h"

namespace crumb {

class Encoder {
 public:
  Encoder(const Kernels& kernels, Weights weights) : kernels_(kernels), weights_(std::move(weights)) {}

  const Kernels& kernels() const { return kernels_; }
  const Weights& weights() const { return weights_; }

  // Throws std::invalid_argument unless offsets ascend strictly from 0 to `total`, every text fits the position rows and
  // every id the vocabulary.
  void check(const RaggedBatch& batch, std::int64_t total) const;

  // Vectors [exits][texts][poolings * hidden] after each of the first so many layers that `exits` names, rising and at
  // least one. `first_pooled` (may be null) is the first token of each text that takes part in pooling.
  void encode(const RaggedBatch& batch, const std::vector<Pooling>& poolings, const std::int32_t* first_pooled,
              const std::vector<int>& exits, int threads, float* out) const;

  // Hidden rows [tokens][hidden] after the first `layers` layers; 0 gives the embedding rows.
  void hidden_rows(const RaggedBatch& batch, int layers, int threads, float* out) const;

 private:
  const Kernels& kernels_;
  Weights weights_;
};

}  // namespace crumb
