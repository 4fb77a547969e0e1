// The weights of one encoder as the kernels want them.
//
// Enters: row-major float32 matrices as checkpoints hold them. Leaves: packed layers. Embedding tables are not copied: the
// caller keeps them alive.
#pragma once

#include <vector>

#include "buffer.h"
#include "kernels/table.h"
#include "team.h"

namespace crumb {

struct Shape {
  int vocabulary = 0;
  int positions = 0;
  int hidden = 0;
  int heads = 0;
  int layers = 0;
  int ffn = 0;
  Activation activation = Activation::gelu;
  float epsilon = 1e-12F;
};

// A matrix [out][in] and its bias [out], as PyTorch's Linear stores them.
struct DenseView {
  const float* weight = nullptr;
  const float* bias = nullptr;
};

struct LayerView {
  DenseView query, key, value, output, up, down;
  const float* attention_gamma = nullptr;
  const float* attention_beta = nullptr;
  const float* ffn_gamma = nullptr;
  const float* ffn_beta = nullptr;
};

struct PackedLayer {
  PackedLinear qkv, output, up, down;
  LayerNorm attention_norm, ffn_norm;
};

// The output columns from panel `first` on, `panels` panels of them or as many as there are, as a layer of their own.
PackedLinear columns_of(const PackedLinear& w, const Kernels& kernels, int first, int panels);

// How weights are packed: by how many threads, and whether the matrices lie in a file that is mapped read-only. Then the pages of
// a layer are given back as soon as it is packed (they can be read again from the file), so that memory never holds both.
struct Packing {
  int threads = 1;
  bool mapped = false;
};

class Weights {
 public:
  // Throws std::invalid_argument if a weight is not finite, or if the kernels cannot run the shape.
  Weights(const Shape& shape, const EmbeddingTables& embeddings, const std::vector<LayerView>& layers, const Kernels& kernels,
          const Packing& packing = {});
  Weights(Weights&&) = default;
  Weights(const Weights&) = delete;

  const Shape& shape() const { return shape_; }
  const EmbeddingTables& embeddings() const { return embeddings_; }
  const PackedLayer& layer(int i) const { return layers_[static_cast<std::size_t>(i)]; }
  std::size_t bytes() const { return bytes_; }

 private:
  // Packs matrices stacked one on the other: their outputs become neighbours, so one pass over the rows makes them all.
  PackedLinear pack(const std::vector<DenseView>& stacked, int out_each, int in, const Split& split, const Kernels& kernels,
                    Team& team);
  Split keep(Split::What what, std::vector<int> columns, int in);
  const float* keep(const float* values, int count);
  std::byte* keep_bytes(std::size_t bytes);

  Shape shape_;
  EmbeddingTables embeddings_;
  std::vector<PackedLayer> layers_;
  std::vector<Buffer<std::byte>> memory_;
  std::size_t bytes_ = 0;
};

}  // namespace crumb
