// The best rows of a corpus for each query, found in one pass without a matrix of scores.
//
// Enters: a corpus in place (it may be a mapped file) and prepared queries. Leaves: the best rows and their scores, best first,
// equal scores by rising row. What is found, to the bit, does not depend on the threads, the blocks or the other queries: a pair's
// score depends on the pair (table.h), and the order of pairs is total. Knows nothing of what codes stand for.
#pragma once

#include <cstddef>
#include <cstdint>

#include "table.h"

namespace crumb::scoring {

struct Corpus {
  Form form = Form::float32;
  const void* data = nullptr;  // rows one behind the other
  std::int64_t rows = 0;
  int dims = 0;  // of bits: eight times the bytes

  std::ptrdiff_t stride() const;
};

// Scores are (bias + query * row), and with `cosine` divided by the length of base + step * row (of the row itself where step is
// null); a row without length has score 0 then.
struct DotQueries {
  const float* rows = nullptr;  // [count][dims]
  const float* bias = nullptr;  // [count]
  std::int64_t count = 0;
  bool cosine = false;
  const float* step = nullptr;  // [dims]
  const float* base = nullptr;
};

// What is found: [queries][k], `k` at most the rows that may be found.
template <class Score>
struct Found {
  Score* scores = nullptr;
  std::int64_t* rows = nullptr;
  std::int64_t k = 0;
};

// Throws std::invalid_argument, naming the pair, if a score is NaN.
void best_dots(const Table& table, const Corpus& corpus, const DotQueries& queries, int threads, Found<float> found);

// The same among `candidates` [queries][count], rows of the corpus without repetitions.
void best_of_candidates(const Table& table, const Corpus& corpus, const DotQueries& queries, const std::int64_t* candidates,
                        std::int64_t count, int threads, Found<float> found);

// Whole numbers: codes of one byte against 16-bit queries [count][dims].
void best_integer_dots(const Table& table, const Corpus& corpus, const std::int16_t* queries, std::int64_t count, int threads,
                       Found<std::int32_t> found);

// Packed bits by rising Hamming distance to packed queries [count][bytes]; scores are minus the distance.
void best_hamming(const Table& table, const Corpus& corpus, const unsigned char* queries, std::int64_t count, int threads,
                  Found<std::int32_t> found);

// Packed bits against float queries [count][dims] rounded to a sign and kPlanes bits: the order of the sum of plus or minus the
// query, nearly, from nothing but popcounts. Scores are in steps of the rounding and compare within a query only.
void best_weighted_bits(const Table& table, const Corpus& corpus, const float* queries, std::int64_t count, int threads,
                        Found<std::int32_t> found);

}  // namespace crumb::scoring
