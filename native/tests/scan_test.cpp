// The scans without Python: every table this CPU runs against sums in double precision and a stable sort, in odd sizes. Built by
// run.sh with sanitizers, or for AArch64 and run under qemu.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "../scoring/scan.h"

namespace {

using namespace crumb::scoring;
using Bytes = std::vector<unsigned char>;

int passed = 0;
int failed = 0;

void check(bool good, const char* isa, const char* what, unsigned seed) {
  (good ? passed : failed) += 1;
  if (!good) std::printf("FAILED %s: %s (seed %u)\n", isa, what, seed);
}

// Halves that are exact: small whole numbers over 64, subnormals and zero
std::uint16_t half_of(int sixtyfourths) {
  if (sixtyfourths == 0) return 0;
  const unsigned sign = sixtyfourths < 0 ? 0x8000U : 0U;
  unsigned value = static_cast<unsigned>(std::abs(sixtyfourths));
  int exponent = 15 - 6;
  while ((value & ~1U) != 0 && value >= 2048) value >>= 1, ++exponent;
  unsigned shifted = value;
  int top = 0;
  while (shifted >>= 1) ++top;
  return static_cast<std::uint16_t>(sign | static_cast<unsigned>(exponent + top) << 10 | (value << (10 - top) & 1023U));
}

struct Case {
  Form form;
  int dims;
  std::int64_t rows;
  std::int64_t queries;
  Bytes data;
  std::vector<double> values;  // [rows][dims], what the data stand for
  std::vector<float> asked;    // [queries][dims]

  Case(Form f, std::mt19937& random) : form(f) {
    const auto draw = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
    dims = draw(1, 150);
    if (form == Form::bits) dims = (dims + 7) / 8 * 8;
    rows = draw(0, 3) == 0 ? draw(1000, 3000) : draw(0, 70);
    queries = draw(1, 12);
    for (std::int64_t i = 0; i < rows * dims; ++i) {
      const int number = draw(-128, 127);
      if (form == Form::float32) {
        const float value = static_cast<float>(number) / 64;
        put(&value, sizeof value), values.push_back(static_cast<double>(value));
      } else if (form == Form::float16) {
        const std::uint16_t value = half_of(number);
        put(&value, sizeof value), values.push_back(number / 64.0);
      } else if (form == Form::int8) {
        data.push_back(static_cast<unsigned char>(number)), values.push_back(number);
      } else if (form == Form::uint8) {
        data.push_back(static_cast<unsigned char>(number + 128)), values.push_back(number + 128);
      } else {
        if (i % 8 == 0) data.push_back(0);
        const unsigned bit = number > 0 ? 1 : 0;
        data.back() = static_cast<unsigned char>(data.back() | bit << (i % 8)), values.push_back(bit);
      }
    }
    for (std::int64_t i = 0; i < queries * dims; ++i) asked.push_back(static_cast<float>(draw(-1000, 1000)) / 512);
  }

  Corpus corpus() const { return {form, data.data(), rows, dims}; }

  double score(std::int64_t query, std::int64_t row, bool cosine) const {
    double sum = 0;
    double square = 0;
    for (int i = 0; i < dims; ++i) {
      const double value = values[static_cast<std::size_t>(row * dims + i)];
      sum += static_cast<double>(asked[static_cast<std::size_t>(query * dims + i)]) * value;
      square += value * value;
    }
    return !cosine ? sum : square == 0 ? 0 : sum / std::sqrt(square);
  }

 private:
  void put(const void* from, std::size_t size) {
    const auto* bytes = static_cast<const unsigned char*>(from);
    data.insert(data.end(), bytes, bytes + size);
  }
};

template <class Score>
struct Result {
  std::vector<Score> scores;
  std::vector<std::int64_t> rows;
  std::int64_t k;

  Result(const Case& c, std::int64_t most)
      : scores(static_cast<std::size_t>(c.queries * most)), rows(scores.size()), k(most) {}
  Found<Score> found() { return {scores.data(), rows.data(), k}; }
  bool operator==(const Result&) const = default;
};

void floats(const Table& table, Form form, unsigned seed) {
  std::mt19937 random(seed);
  const Case c(form, random);
  const bool cosine = form != Form::bits && seed % 2 == 1;
  const std::int64_t k = std::min<std::int64_t>(c.rows, 1 + seed % 20);
  const std::vector<float> bias(static_cast<std::size_t>(c.queries), 0.0F);
  const DotQueries all{c.asked.data(), bias.data(), c.queries, cosine, nullptr, nullptr};
  Result<float> one(c, k);
  Result<float> three(c, k);
  best_dots(table, c.corpus(), all, 1, one.found());
  best_dots(table, c.corpus(), all, 3, three.found());
  check(one == three, table.name, "scores depend on the threads", seed);
  for (std::int64_t q = 0; q < c.queries; ++q) {
    const DotQueries alone{c.asked.data() + q * c.dims, bias.data(), 1, cosine, nullptr, nullptr};
    std::vector<float> scores(static_cast<std::size_t>(k));
    std::vector<std::int64_t> rows(static_cast<std::size_t>(k));
    best_dots(table, c.corpus(), alone, 1, {scores.data(), rows.data(), k});
    check(k == 0 || std::memcmp(scores.data(), one.scores.data() + q * k, scores.size() * sizeof(float)) == 0, table.name,
          "scores depend on the other queries", seed);
    std::vector<double> expected;
    for (std::int64_t row = 0; row < c.rows; ++row) expected.push_back(c.score(q, row, cosine));
    bool good = true;
    for (std::int64_t i = 0; i < k; ++i) {
      const auto at = static_cast<std::size_t>(q * k + i);
      const double tolerance = form == Form::int8 || form == Form::uint8 ? 0.05 : 1e-3;
      good = good && std::abs(static_cast<double>(one.scores[at]) - expected[static_cast<std::size_t>(one.rows[at])]) < tolerance;
    }
    std::sort(expected.rbegin(), expected.rend());
    for (std::int64_t i = 0; i < k; ++i) {
      good = good && std::abs(static_cast<double>(one.scores[static_cast<std::size_t>(q * k + i)]) -
                              expected[static_cast<std::size_t>(i)]) < 0.05;
    }
    check(good, table.name, "other rows than the naive scan", seed);
  }
  if (k == 0) return;
  // the same rows as candidates, in another order, give the same answer
  Result<float> again(c, k);
  std::vector<std::int64_t> candidates = one.rows;
  for (std::int64_t q = 0; q < c.queries; ++q) std::reverse(candidates.begin() + q * k, candidates.begin() + (q + 1) * k);
  best_of_candidates(table, c.corpus(), all, candidates.data(), k, 2, again.found());
  check(again == one, table.name, "candidates score otherwise", seed);
}

void check_whole(const Table& table, const Case& c, Result<std::int32_t>& found, const std::vector<std::int64_t>& scores,
                 const char* what, unsigned seed) {
  bool good = true;
  for (std::int64_t q = 0; q < c.queries; ++q) {
    std::vector<std::int64_t> order(static_cast<std::size_t>(c.rows));
    std::iota(order.begin(), order.end(), 0);
    const std::int64_t* line = scores.data() + q * c.rows;
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return line[a] > line[b]; });
    for (std::int64_t i = 0; i < found.k; ++i) {
      const auto at = static_cast<std::size_t>(q * found.k + i);
      good = good && found.rows[at] == order[static_cast<std::size_t>(i)] && found.scores[at] == line[found.rows[at]];
    }
  }
  check(good, table.name, what, seed);
}

void whole_numbers(const Table& table, Form form, unsigned seed) {
  std::mt19937 random(seed);
  const Case c(form, random);
  std::vector<std::int16_t> asked;
  for (std::int64_t i = 0; i < c.queries * c.dims; ++i) asked.push_back(static_cast<std::int16_t>(static_cast<int>(random() % 511) - 255));
  Result<std::int32_t> found(c, std::min<std::int64_t>(c.rows, 9));
  best_integer_dots(table, c.corpus(), asked.data(), c.queries, 2, found.found());
  std::vector<std::int64_t> scores;
  for (std::int64_t q = 0; q < c.queries; ++q) {
    for (std::int64_t r = 0; r < c.rows; ++r) {
      std::int64_t sum = 0;
      for (int i = 0; i < c.dims; ++i) {
        sum += asked[static_cast<std::size_t>(q * c.dims + i)] * static_cast<std::int64_t>(c.values[static_cast<std::size_t>(r * c.dims + i)]);
      }
      scores.push_back(sum);
    }
  }
  check_whole(table, c, found, scores, "other products of whole numbers", seed);
}

void bits(const Table& table, bool weighted, unsigned seed) {
  std::mt19937 random(seed);
  const Case c(Form::bits, random);
  Result<std::int32_t> found(c, std::min<std::int64_t>(c.rows, 9));
  Bytes packed(static_cast<std::size_t>(c.queries * c.dims / 8));
  for (std::int64_t i = 0; i < c.queries * c.dims; ++i) {
    const unsigned set = c.asked[static_cast<std::size_t>(i)] > 0.0F ? 1 : 0;
    auto& byte = packed[static_cast<std::size_t>(i / 8)];
    byte = static_cast<unsigned char>(byte | set << (i % 8));
  }
  if (weighted) {
    best_weighted_bits(table, c.corpus(), c.asked.data(), c.queries, 2, found.found());
  } else {
    best_hamming(table, c.corpus(), packed.data(), c.queries, 2, found.found());
  }
  std::vector<std::int64_t> scores;
  for (std::int64_t q = 0; q < c.queries; ++q) {
    const float* query = c.asked.data() + q * c.dims;
    float largest = 0.0F;
    for (int i = 0; i < c.dims; ++i) largest = std::max(largest, std::abs(query[i]));
    for (std::int64_t r = 0; r < c.rows; ++r) {
      std::int64_t distance = 0;
      for (int i = 0; i < c.dims; ++i) {
        if ((query[i] > 0.0F) == (c.values[static_cast<std::size_t>(r * c.dims + i)] > 0.0)) continue;
        distance += weighted ? std::lround(std::abs(query[i]) / largest * 15.0F) : 1;
      }
      scores.push_back(-distance);
    }
  }
  check_whole(table, c, found, scores, weighted ? "other weighted distances" : "other Hamming distances", seed);
}

template <class Call>
void throws(Call call, const char* what) {
  bool thrown = false;
  try {
    call();
  } catch (const std::invalid_argument&) {
    thrown = true;
  }
  check(thrown, "refusals", what, 0);
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned cases = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 40;
  for (const Table* const* at = all_tables(); *at != nullptr; ++at) {
    if (!(*at)->supported()) {
      std::printf("%s: not run by this CPU\n", (*at)->name);
      continue;
    }
    std::printf("%s\n", (*at)->name);
    for (unsigned seed = 0; seed < cases; ++seed) {
      for (const Form form : {Form::float32, Form::float16, Form::int8, Form::uint8, Form::bits}) floats(**at, form, seed);
      for (const Form form : {Form::int8, Form::uint8}) whole_numbers(**at, form, seed);
      for (const bool weighted : {false, true}) bits(**at, weighted, seed);
    }
  }
  throws([] { select_table("none such"); }, "unknown scans");
  const float nan[2] = {1.0F, NAN};
  const float one[1] = {1.0F};
  float score = 0;
  std::int64_t row = 0;
  const Corpus corpus{Form::float32, nan, 2, 1};
  throws([&] { best_dots(select_table(""), corpus, {one, one, 1, false, nullptr, nullptr}, 1, {&score, &row, 1}); }, "a score of NaN");
  const std::int64_t outside[1] = {2};
  throws([&] { best_of_candidates(select_table(""), corpus, {one, one, 1, false, nullptr, nullptr}, outside, 1, 1, {&score, &row, 1}); },
         "a candidate outside the corpus");
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
