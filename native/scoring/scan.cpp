#include "scan.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "../buffer.h"
#include "../team.h"
#include "best.h"

namespace crumb::scoring {

namespace {

// A block of rows as float32 should about fit L1, and a group of queries in L2 while blocks pass by.
constexpr std::int64_t kBlockBytes = 32 << 10;
constexpr std::int64_t kGroupBytes = 192 << 10;
// What a thread takes at a time: some hundredths of a millisecond, and rows that lie together
constexpr std::int64_t kTaskBytes = 256 << 10;
constexpr int kRowMultiple = 24;  // a multiple of every table's tile of rows
constexpr int kBitRows = 256;      // rows of bits that are looked at together, a multiple of 32
constexpr std::int64_t kHeapBytes = 32 << 20;

int round_up(int n, int to) { return (n + to - 1) / to * to; }

template <class T>
Buffer<T> zeros(std::size_t count) {
  Buffer<T> made = make_buffer<T>(std::max<std::size_t>(count, 1));
  std::memset(static_cast<void*>(made.get()), 0, count * sizeof(T));
  return made;
}

// Queries one behind the other, each filled up with zeros
template <class T>
Buffer<T> padded(const T* rows, std::int64_t count, int dims, int to) {
  Buffer<T> made = zeros<T>(static_cast<std::size_t>(count) * static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < count; ++i) {
    std::memcpy(made.get() + i * to, rows + i * dims, sizeof(T) * static_cast<std::size_t>(dims));
  }
  return made;
}

[[noreturn]] void refuse_nan(std::int64_t query, std::int64_t row) {
  throw std::invalid_argument("a score is NaN: query " + std::to_string(query) + " or row " + std::to_string(row) +
                              " of the corpus holds NaN or infinite values");
}

template <class Score>
void write(std::vector<Scored<Score>>& all, std::int64_t query, const Found<Score>& found) {
  const auto k = static_cast<std::size_t>(found.k);
  std::partial_sort(all.begin(), all.begin() + found.k, all.end(), better<Score>);
  for (std::size_t i = 0; i < k; ++i) {
    found.scores[query * found.k + static_cast<std::int64_t>(i)] = all[i].score;
    found.rows[query * found.k + static_cast<std::int64_t>(i)] = all[i].row;
  }
}

// Passes over the corpus in tasks of whole blocks. `score(worker, first row, rows, first query, queries, out)` fills
// out[queries][rows].
template <class Score, class ScoreBlock>
void scan(const Corpus& corpus, std::int64_t block, std::int64_t queries, std::int64_t group, int threads,
          const Found<Score>& found, const ScoreBlock& score) {
  if (queries == 0 || found.k == 0) return;
  const std::int64_t per_task = std::max<std::int64_t>(1, kTaskBytes / std::max<std::ptrdiff_t>(1, corpus.stride() * block)) * block;
  const std::int64_t tasks = (corpus.rows + per_task - 1) / per_task;
  Team team(static_cast<int>(std::min<std::int64_t>(threads, tasks)));
  const auto workers = static_cast<std::size_t>(team.size());
  // so many queries at a time that the heaps of all workers stay small
  const std::int64_t heap_bytes = found.k * static_cast<std::int64_t>(workers * sizeof(Scored<Score>));
  const std::int64_t at_once = std::clamp<std::int64_t>(kHeapBytes / heap_bytes, 1, queries);
  group = std::min(group, at_once);
  std::vector<std::vector<Best<Score>>> best(workers, std::vector<Best<Score>>(static_cast<std::size_t>(at_once)));
  std::vector<std::vector<Score>> scores(workers);
  for (auto& line : scores) line.resize(static_cast<std::size_t>(group * block));
  for (std::int64_t first = 0; first < queries; first += at_once) {
    const std::int64_t some = std::min(at_once, queries - first);
    for (auto& heaps : best) {
      for (auto& heap : heaps) heap.start(found.k);
    }
    team.run(static_cast<std::size_t>(tasks), [&](std::size_t task, int worker) {
      auto& heaps = best[static_cast<std::size_t>(worker)];
      Score* out = scores[static_cast<std::size_t>(worker)].data();
      const std::int64_t begin = static_cast<std::int64_t>(task) * per_task;
      const std::int64_t end = std::min(begin + per_task, corpus.rows);
      for (std::int64_t q = 0; q < some; q += group) {
        const std::int64_t in_group = std::min(group, some - q);
        for (std::int64_t row = begin; row < end; row += block) {
          const std::int64_t count = std::min(block, end - row);
          score(worker, row, static_cast<int>(count), first + q, static_cast<int>(in_group), out);
          for (std::int64_t i = 0; i < in_group; ++i) {
            Best<Score>& heap = heaps[static_cast<std::size_t>(q + i)];
            for (std::int64_t r = 0; r < count; ++r) heap.offer(out[i * count + r], row + r);
          }
        }
      }
    });
    std::vector<Scored<Score>> all;
    for (std::int64_t i = 0; i < some; ++i) {
      all.clear();
      std::int64_t nan_row = -1;
      for (const auto& heaps : best) {
        const Best<Score>& heap = heaps[static_cast<std::size_t>(i)];
        if (heap.nan_row() >= 0 && (nan_row < 0 || heap.nan_row() < nan_row)) nan_row = heap.nan_row();
        all.insert(all.end(), heap.found().begin(), heap.found().end());
      }
      if (nan_row >= 0) refuse_nan(first + i, nan_row);
      write(all, first + i, found);
    }
  }
}

// Scores of blocks of rows against groups of queries; one for each worker
class Dots {
 public:
  Dots(const Table& table, const Corpus& corpus, const DotQueries& queries, std::int64_t block)
      : table_(table), corpus_(corpus), queries_(queries), padded_(round_up(std::max(corpus.dims, 1), kPad)),
        scratch_(zeros<float>(static_cast<std::size_t>(block) * static_cast<std::size_t>(padded_))),
        inverse_(static_cast<std::size_t>(block)) {}

  int padded() const { return padded_; }

  // `prepared` [queries][padded]
  void operator()(const float* prepared, std::int64_t row, int count, std::int64_t first, int queries, float* out) {
    const Rows rows{corpus_.form, static_cast<const unsigned char*>(corpus_.data) + row * corpus_.stride(), corpus_.stride(), count,
                    corpus_.dims};
    table_.dots({rows, prepared + first * padded_, padded_, queries, scratch_.get(), out});
    if (queries_.cosine) measure(rows, prepared, first, queries, out);
    for (int q = 0; q < queries; ++q) {
      const float bias = queries_.bias[first + q];
      float* line = out + static_cast<std::ptrdiff_t>(q) * count;
      if (queries_.cosine) {
        for (int r = 0; r < count; ++r) line[r] = (line[r] + bias) * inverse_[static_cast<std::size_t>(r)];
      } else if (bias != 0.0F) {
        for (int r = 0; r < count; ++r) line[r] += bias;
      }
    }
  }

 private:
  void measure(const Rows& rows, const float* prepared, std::int64_t first, int queries, float* out) {
    table_.squares(rows, queries_.step, queries_.base, inverse_.data());
    for (int r = 0; r < rows.count; ++r) {
      float& inverse = inverse_[static_cast<std::size_t>(r)];
      if (inverse > 1e-30F && inverse < 1e30F) {
        inverse = 1.0F / std::sqrt(inverse);
        continue;
      }
      // so short or so long that float32 has no digits left for the square, or without length, or not finite
      Rows one = rows;
      one.data += r * rows.stride;
      one.count = 1;
      std::vector<float> values(static_cast<std::size_t>(padded_));
      table_.expand(one, values.data());
      double sum = 0;
      for (int i = 0; i < rows.dims; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const double value = queries_.step == nullptr ? static_cast<double>(values[at])
                                                      : static_cast<double>(queries_.base[i]) +
                                                            static_cast<double>(queries_.step[i]) * static_cast<double>(values[at]);
        sum += value * value;
      }
      const double length = std::sqrt(sum);
      inverse = length == 0.0 ? 0.0F : static_cast<float>(1.0 / length);
      if (queries_.step != nullptr || length == 0.0) continue;
      for (float& value : values) value = static_cast<float>(static_cast<double>(value) / length);
      const Rows scaled{Form::float32, reinterpret_cast<const unsigned char*>(values.data()), 0, 1, rows.dims};
      Buffer<float> scratch = zeros<float>(static_cast<std::size_t>(padded_));
      for (int q = 0; q < queries; ++q) {
        table_.dots({scaled, prepared + (first + q) * padded_, padded_, 1, scratch.get(), out + static_cast<std::ptrdiff_t>(q) * rows.count + r});
      }
      inverse = 1.0F;
    }
  }

  const Table& table_;
  const Corpus& corpus_;
  const DotQueries& queries_;
  int padded_;
  Buffer<float> scratch_;
  std::vector<float> inverse_;
};

std::int64_t block_of(std::int64_t row_bytes) {
  return std::clamp<std::int64_t>(kBlockBytes / std::max<std::int64_t>(row_bytes, 1) / kRowMultiple * kRowMultiple, kRowMultiple,
                                  10 * kRowMultiple);
}

std::int64_t group_of(std::int64_t query_bytes) {
  return std::max<std::int64_t>(kGroupBytes / std::max<std::int64_t>(query_bytes, 1) / kRowMultiple * kRowMultiple, kRowMultiple);
}

// Bits and their weights in the layout of BitsJob; `fill(query, bits, planes)` writes bytes of one zeroed query
class BitQueries {
 public:
  template <class Fill>
  BitQueries(const Table& table, std::int64_t count, int planes, int words, const Fill& fill)
      : planes_(planes), words_(words), record_(words * (1 + planes) + table.table_words(words)),
        records_(zeros<std::uint64_t>(static_cast<std::size_t>(count * record_))) {
    for (std::int64_t q = 0; q < count; ++q) {
      std::uint64_t* record = records_.get() + q * record_;
      auto* bits = reinterpret_cast<unsigned char*>(record);
      fill(q, bits, bits + 8 * words);
      table.tabulate(record, words, planes);
    }
  }

  void best(const Table& table, const Corpus& corpus, std::int64_t count, int threads, const Found<std::int32_t>& found) const {
    scan<std::int32_t>(corpus, kBitRows, count, group_of(8 * record_), threads, found,
                       [&](int, std::int64_t row, int rows, std::int64_t first, int some, std::int32_t* out) {
                         table.bit_distances({static_cast<const unsigned char*>(corpus.data) + row * corpus.stride(),
                                              corpus.stride(), rows, records_.get() + first * record_, words_, planes_, record_,
                                              some, out});
                       });
  }

 private:
  int planes_;
  int words_;
  std::int64_t record_;
  Buffer<std::uint64_t> records_;
};

int words_of(const Corpus& corpus) { return round_up(std::max((corpus.dims + 63) / 64, 1), kWordPad); }

}  // namespace

std::ptrdiff_t Corpus::stride() const {
  switch (form) {
    case Form::float32: return std::ptrdiff_t{4} * dims;
    case Form::float16: return std::ptrdiff_t{2} * dims;
    case Form::bits: return dims / 8;
    default: return dims;
  }
}

void best_dots(const Table& table, const Corpus& corpus, const DotQueries& queries, int threads, Found<float> found) {
  const std::int64_t row_bytes = std::int64_t{4} * round_up(std::max(corpus.dims, 1), kPad);
  const std::int64_t block = block_of(row_bytes);
  std::vector<Dots> dots;
  for (int i = 0; i < threads; ++i) dots.emplace_back(table, corpus, queries, block);
  const int to = dots.front().padded();
  const Buffer<float> prepared = padded(queries.rows, queries.count, corpus.dims, to);
  scan<float>(corpus, block, queries.count, group_of(row_bytes), threads, found,
              [&](int worker, std::int64_t row, int rows, std::int64_t first, int some, float* out) {
                dots[static_cast<std::size_t>(worker)](prepared.get(), row, rows, first, some, out);
              });
}

void best_of_candidates(const Table& table, const Corpus& corpus, const DotQueries& queries, const std::int64_t* candidates,
                        std::int64_t count, int threads, Found<float> found) {
  if (queries.count == 0 || found.k == 0) return;
  for (std::int64_t i = 0; i < queries.count * count; ++i) {
    if (candidates[i] < 0 || candidates[i] >= corpus.rows) {
      throw std::invalid_argument("candidate " + std::to_string(candidates[i]) + " is no row of a corpus of " +
                                  std::to_string(corpus.rows));
    }
  }
  // rows lie anywhere: what costs is waiting for memory, so some are asked for ahead, and a lone query is shared too
  constexpr std::int64_t kAhead = 8;
  constexpr std::int64_t kPart = 64;
  const std::int64_t parts = (count + kPart - 1) / kPart;
  Team team(static_cast<int>(std::min<std::int64_t>(threads, queries.count * parts)));
  std::vector<Dots> dots;
  for (int i = 0; i < team.size(); ++i) dots.emplace_back(table, corpus, queries, 1);
  const Buffer<float> prepared = padded(queries.rows, queries.count, corpus.dims, dots.front().padded());
  std::vector<float> scores(static_cast<std::size_t>(queries.count * count));
  const auto* bytes = static_cast<const char*>(corpus.data);
  const std::ptrdiff_t stride = corpus.stride();
  team.run(static_cast<std::size_t>(queries.count * parts), [&](std::size_t task, int worker) {
    const std::int64_t query = static_cast<std::int64_t>(task) / parts;
    const std::int64_t begin = static_cast<std::int64_t>(task) % parts * kPart;
    const std::int64_t end = std::min(begin + kPart, count);
    const std::int64_t* rows = candidates + query * count;
    float* out = scores.data() + query * count;
    const auto fetch = [&](std::int64_t i) {
      for (std::ptrdiff_t at = 0; i < end && at < stride; at += 64) __builtin_prefetch(bytes + rows[i] * stride + at);
    };
    for (std::int64_t i = begin; i < begin + kAhead; ++i) fetch(i);
    for (std::int64_t i = begin; i < end; ++i) {
      fetch(i + kAhead);
      dots[static_cast<std::size_t>(worker)](prepared.get(), rows[i], 1, query, 1, out + i);
    }
  });
  std::vector<Scored<float>> all;
  for (std::int64_t query = 0; query < queries.count; ++query) {
    all.clear();
    for (std::int64_t i = query * count; i < (query + 1) * count; ++i) {
      const float score = scores[static_cast<std::size_t>(i)];
      if (std::isnan(score)) refuse_nan(query, candidates[i]);
      all.push_back({score, candidates[i]});
    }
    write(all, query, found);
  }
}

void best_integer_dots(const Table& table, const Corpus& corpus, const std::int16_t* queries, std::int64_t count, int threads,
                       Found<std::int32_t> found) {
  const int to = round_up(std::max(corpus.dims, 1), kWidePad);
  const std::int64_t block = block_of(to);
  const Buffer<std::int16_t> prepared = padded(queries, count, corpus.dims, to);
  scan<std::int32_t>(corpus, block, count, group_of(std::int64_t{2} * to), threads, found,
                     [&](int, std::int64_t row, int rows, std::int64_t first, int some, std::int32_t* out) {
                       const Rows bytes{corpus.form, static_cast<const unsigned char*>(corpus.data) + row * corpus.stride(),
                                        corpus.stride(), rows, corpus.dims};
                       table.integer_dots({bytes, prepared.get() + first * to, to, some, out});
                     });
}

void best_hamming(const Table& table, const Corpus& corpus, const unsigned char* queries, std::int64_t count, int threads,
                  Found<std::int32_t> found) {
  const int words = words_of(corpus);
  const auto bytes = static_cast<std::size_t>(corpus.stride());
  const BitQueries prepared(table, count, 1, words, [&](std::int64_t q, unsigned char* bits, unsigned char* ones) {
    std::memcpy(bits, queries + q * corpus.stride(), bytes);
    std::memset(ones, 0xFF, bytes);
  });
  prepared.best(table, corpus, count, threads, found);
}

void best_weighted_bits(const Table& table, const Corpus& corpus, const float* queries, std::int64_t count, int threads,
                        Found<std::int32_t> found) {
  const int words = words_of(corpus);
  constexpr float kLargest = (1 << kPlanes) - 1;
  const BitQueries prepared(table, count, kPlanes, words, [&](std::int64_t q, unsigned char* bits, unsigned char* planes) {
    const float* query = queries + q * corpus.dims;
    float largest = 0.0F;
    for (int i = 0; i < corpus.dims; ++i) {
      if (!std::isfinite(query[i])) throw std::invalid_argument("query " + std::to_string(q) + " is not finite");
      largest = std::max(largest, std::abs(query[i]));
    }
    for (int i = 0; i < corpus.dims && largest > 0.0F; ++i) {
      const auto bit = static_cast<unsigned char>(1U << static_cast<unsigned>(i % 8));
      if (query[i] > 0.0F) bits[i / 8] = static_cast<unsigned char>(bits[i / 8] | bit);
      const auto weight = static_cast<unsigned>(std::lround(std::abs(query[i]) / largest * kLargest));
      for (int p = 0; p < kPlanes; ++p) {
        unsigned char& byte = planes[8 * words * p + i / 8];
        if ((weight >> static_cast<unsigned>(p) & 1U) != 0) byte = static_cast<unsigned char>(byte | bit);
      }
    }
  });
  prepared.best(table, corpus, count, threads, found);
}

}  // namespace crumb::scoring
