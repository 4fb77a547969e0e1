// The one table through which the encoder reaches the processor.
//
// Enters: packed weights and rows of float32 activations. Leaves: rows. Knows nothing of texts, layers or threads.
// Each instruction set fills one `Kernels` in a file of its own (kernels/<isa>.cpp) from the algorithms of kernels/generic,
// which are written once over the vector vocabulary of kernels/vec_<isa>.h. dispatch.cpp lists them in order of preference.
#pragma once

#include <cstddef>
#include <cstdint>

namespace crumb {

enum class Activation : int { gelu = 0, gelu_tanh = 1 };

// What is multiplied: float32 by float32, or bfloat16 pairs summed in float32. Sums, residuals, LayerNorm and softmax are
// float32 in either case.
enum class Precision : int { float32 = 0, bf16 = 1 };

// One linear layer y = x W^T + b in the kernel's own layout: panels of `panel` output columns, each [in / depth][panel][depth],
// the last one padded with zeros, so that a panel is read front to back once per tile of rows.
struct PackedLinear {
  const void* weights = nullptr;  // elements [ceil(out / panel)][in / depth][panel][depth]
  const float* bias = nullptr;    // [ceil(out / panel) * panel]
  int in = 0;
  int out = 0;
};

struct LayerNorm {
  const float* gamma = nullptr;  // [hidden]
  const float* beta = nullptr;   // [hidden]
  float epsilon = 0.0F;
};

// Embedding rows: word[id] + position[p] + the row of token type 0, then LayerNorm.
struct EmbeddingTables {
  const float* word = nullptr;      // [vocabulary][hidden]
  const float* position = nullptr;  // [rows][hidden]
  const float* type = nullptr;      // [hidden]
  LayerNorm norm;
  int hidden = 0;
};

// Attention of one head over one text, for the query rows [query_begin, query_end).
struct AttentionJob {
  const void* query = nullptr;  // elements [length][stride], this head's columns (likewise below)
  const void* key = nullptr;
  const void* value = nullptr;
  std::ptrdiff_t stride = 0;  // in elements
  void* out = nullptr;        // elements [length][out_stride]
  std::ptrdiff_t out_stride = 0;
  int length = 0;
  int query_begin = 0;
  int query_end = 0;
  int head_size = 0;
  float scale = 1.0F;
  float* scratch = nullptr;  // attention_scratch(length, head_size) floats, 64-byte aligned
};

// Activations are kept as elements wherever they are only multiplied; x, the residual stream, is float32. `input` is x as
// elements: x itself where an element is a float.
struct Kernels {
  const char* name;
  Precision precision;
  bool (*supported)();
  int panel;     // output columns of a packed panel
  int row_tile;  // rows of a GEMM tile: blocks of rows that are multiples of it waste nothing
  int element;   // bytes of an element
  int depth;     // elements that one step multiplies together; hidden, FFN and head sizes must be multiples of it

  void (*convert)(const float* from, std::size_t count, void* to);
  void (*embed)(const EmbeddingTables& tables, const std::int32_t* ids, const std::int32_t* positions, int rows, float* x,
                void* input);
  // c[rows][ldc] = a W^T + b
  void (*linear)(const PackedLinear& w, const void* a, std::ptrdiff_t lda, int rows, void* c, std::ptrdiff_t ldc);
  // c = activation(a W^T + b)
  void (*linear_activation)(const PackedLinear& w, const void* a, std::ptrdiff_t lda, int rows, void* c,
                            std::ptrdiff_t ldc, Activation activation);
  // x = LayerNorm(x + a W^T + b), rows of x contiguous, and `input` again from it
  void (*linear_residual_norm)(const PackedLinear& w, const void* a, std::ptrdiff_t lda, int rows, float* x, void* input,
                               const LayerNorm& norm);
  // Softmax attention in O(length) memory; a row's bits depend on its own text only.
  void (*attention)(const AttentionJob& job);
  std::size_t (*attention_scratch)(int length, int head_size);
};

// The tables that were compiled in, best first, ended by nullptr.
const Kernels* const* all_kernels();

// The table called `name` of a precision; for an empty name the best this CPU supports. Throws std::invalid_argument for an
// unknown name, for one that this CPU cannot run, and where there is none of that precision.
const Kernels& select_kernels(const char* name, Precision precision);

const char* precision_name(Precision precision);

}  // namespace crumb
