// The one table through which the scans reach the processor.
//
// Enters: rows of a corpus in some form and prepared queries. Leaves: a score for each pair. Knows nothing of what is best, of
// threads, or of what the numbers stand for. Each instruction set fills one `Table` in a file of its own (scoring/<isa>.cpp) from
// the algorithms of scoring/generic.h, which are written once over the vocabulary of scoring/vec_<isa>.h. dispatch.cpp lists them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace crumb::scoring {

// How a row of the corpus is stored. Bits: one a dimension, eight dimensions to a byte, and dimension 8 b + j of a query is meant
// for bit j of byte b counted from the lowest: who packs the highest first turns the query round.
enum class Form : int { float32 = 0, float16, int8, uint8, bits };

// Prepared queries are filled up with zeros to multiples of these, so that a vector of any width may be read from them.
inline constexpr int kPad = 16;       // floats
inline constexpr int kWidePad = 32;   // 16-bit integers
inline constexpr int kWordPad = 8;    // 64-bit words of bits

// A block of rows, `stride` bytes from one to the next.
struct Rows {
  Form form = Form::float32;
  const unsigned char* data = nullptr;
  std::ptrdiff_t stride = 0;
  int count = 0;
  int dims = 0;  // of bits: eight times the bytes
};

// out[q][r] = the sum of query q times row r. A pair's sum is one chain of fused multiply-adds per lane, the lanes added in one
// order, whatever else is in the job: that is why its bits do not depend on the other queries or on the block.
struct DotJob {
  Rows rows;
  const float* queries = nullptr;  // [query_count][padded]
  int padded = 0;                  // dims rounded up to kPad
  int query_count = 0;
  float* scratch = nullptr;  // [rows.count][padded], 64-byte aligned
  float* out = nullptr;      // [query_count][rows.count]
};

// The same of whole numbers: bytes of either sign, exact in 32 bits.
struct IntegerJob {
  Rows rows;                              // int8 or uint8
  const std::int16_t* queries = nullptr;  // [query_count][padded]
  int padded = 0;                         // dims rounded up to kWidePad
  int query_count = 0;
  std::int32_t* out = nullptr;  // [query_count][rows.count]
};

// out[q][r] = minus the sum, over the bits in which row r differs from query q, of the weight that q gives to the bit. A weight is
// a whole number below 2^planes; one plane of ones makes it the Hamming distance.
struct BitsJob {
  const unsigned char* rows = nullptr;
  std::ptrdiff_t bytes = 0;  // of a row, and from one to the next
  int count = 0;
  // [query_count][record]: a query's bits, [words], then the planes of its weights, [planes][words] with the lowest first, then
  // what `tabulate` makes of them. What fills up the words has no weight.
  const std::uint64_t* queries = nullptr;
  int words = 0;  // bytes / 8 rounded up to kWordPad
  int planes = 0;  // 1 or kPlanes
  std::ptrdiff_t record = 0;
  int query_count = 0;
  std::int32_t* out = nullptr;  // [query_count][count]
};

inline constexpr int kPlanes = 4;

struct Table {
  const char* name;
  bool (*supported)();
  void (*dots)(const DotJob& job);
  void (*integer_dots)(const IntegerJob& job);
  void (*bit_distances)(const BitsJob& job);
  // Words for tables behind the planes of a query's record, and what fills them
  int (*table_words)(int words);
  void (*tabulate)(std::uint64_t* record, int words, int planes);
  // out[r] = the sum of squares of base + step * row r (null: of the row itself), not of bits
  void (*squares)(const Rows& rows, const float* step, const float* base, float* out);
  // One row as float32 [dims]
  void (*expand)(const Rows& row, float* to);
};

// The tables that were compiled in, the fastest first, ended by nullptr.
const Table* const* all_tables();

// The table called `name`; for an empty name the fastest that this CPU runs. Throws std::invalid_argument for an unknown name and
// for one that this CPU cannot run.
const Table& select_table(const char* name);

}  // namespace crumb::scoring
