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

// What is multiplied: float32 by float32, bfloat16 pairs (or float32 by weights of bfloat16), or bytes (activations of 8 bits with a step and a zero of their own
// per token, weights of 8 bits with a step per output column). Sums are float32, and int32 for bytes; residuals, LayerNorm and
// softmax are float32 in every case.
enum class Precision : int { float32 = 0, bf16 = 1, int8 = 2 };

// Which input columns of a linear layer have three slots instead of one, so that few large values do not coarsen the step of
// all others (after outlier channel splitting, Zhao et al., arXiv 1901.09504). Bytes only.
struct Split {
  enum class What { rows, weights };  // is it the activation that is dealt over the three slots, or the weight?
  What what = What::rows;
  const std::int32_t* columns = nullptr;
  int count = 0;
  const float* thirds = nullptr;  // [in], 1/3 for the columns that are split, else 1; null if none is
};

// One linear layer y = x W^T + b in the kernel's own layout: panels of `panel` output columns, each [slots / depth][panel][depth],
// the last one padded with zeros, so that a panel is read front to back once per tile of rows. A slot is an input column; the
// further slots of split columns come behind, then zeros up to a multiple of slot_multiple.
struct PackedLinear {
  const void* weights = nullptr;
  const float* bias = nullptr;  // [ceil(out / panel) * panel]; likewise below
  const float* step = nullptr;  // bytes: what 1 in a weight is worth
  const float* sums = nullptr;  // bytes: the sum of a column's weights, times its step
  int in = 0;
  int slots = 0;
  int out = 0;
  Split split;
};

// Rows as a linear layer multiplies them, `stride` bytes from one to the next.
struct Operand {
  const void* rows = nullptr;
  std::ptrdiff_t stride = 0;
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

// Between the steps activations are kept as elements (float32 or bfloat16), but for x, the residual stream, which is float32.
// Before a linear layer they become its operand; a null operand_of_... says that they are multiplied as they are.
struct Kernels {
  const char* name;
  Precision precision;
  bool (*supported)();
  int panel;          // output columns of a packed panel
  int row_tile;       // rows of a GEMM tile: blocks of rows that are multiples of it waste nothing
  int block_rows;     // rows to multiply while the weights are read once: so many that reading is not what takes the time, so
                      // few that their hidden activations stay in L2
  int element;        // bytes of an element
  int weight;         // bytes of a packed weight
  int size_multiple;  // of which hidden, FFN and head sizes must be multiples
  int slot_multiple;  // to which slots are rounded up

  // One panel from `count` <= panel rows of W, each [in]
  void (*pack)(const PackedLinear& layout, const float* const* rows, int count, void* weights, float* step, float* sums);

  std::ptrdiff_t (*operand_stride)(const PackedLinear& w);
  void (*operand_of_x)(const PackedLinear& w, const float* x, int rows, void* to);
  void (*operand_of_elements)(const PackedLinear& w, const void* elements, int rows, void* to);

  void (*embed)(const EmbeddingTables& tables, const std::int32_t* ids, const std::int32_t* positions, int rows, float* x);
  // c[rows][ldc] = a W^T + b, as elements
  void (*linear)(const PackedLinear& w, Operand a, int rows, void* c, std::ptrdiff_t ldc);
  // c = activation(a W^T + b), as elements
  void (*linear_activation)(const PackedLinear& w, Operand a, int rows, void* c, std::ptrdiff_t ldc, Activation activation);
  // x += a W^T + b, `ldx` floats from one row of x to the next
  void (*linear_add)(const PackedLinear& w, Operand a, int rows, float* x, std::ptrdiff_t ldx);
  // x = LayerNorm(x), rows of x contiguous
  void (*layer_norm)(const LayerNorm& norm, float* x, int rows, int columns);
  // Softmax attention in O(length) memory; a row's bits depend on its own text only.
  void (*attention)(const AttentionJob& job);
  std::size_t (*attention_scratch)(int length, int head_size);

  // For measuring: runs the product's instructions on registers alone and returns how many multiply-adds that were.
  std::int64_t (*peak)(int rounds);
};

// The tables that were compiled in, the fastest on this CPU first, ended by nullptr.
const Kernels* const* all_kernels();

// The table called `name` of a precision; for an empty name the fastest that this CPU supports and that takes sizes of which
// `sizes` is a common divisor. Throws std::invalid_argument for an unknown name, for one that this CPU cannot run, and where
// there is none of that precision.
const Kernels& select_kernels(const char* name, Precision precision, int sizes);

const char* precision_name(Precision precision);

}  // namespace crumb
