// What Python sees of the scans. Checks shapes, lets go of the interpreter lock, and nothing else.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "scoring/scan.h"

namespace nb = nanobind;

namespace crumb {
namespace {

using scoring::Corpus;
using scoring::Form;

template <class T, int Dims>
using In = nb::ndarray<const T, nb::ndim<Dims>, nb::c_contig, nb::device::cpu>;
template <class T>
using Out = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Bytes = In<std::uint8_t, 2>;

void require(bool good, const std::string& what) {
  if (!good) throw std::invalid_argument(what);
}

// Rows come as bytes whatever they hold
Corpus corpus_of(const Bytes& rows, const std::string& form) {
  Corpus corpus;
  std::size_t size = 1;
  if (form == "float32") {
    corpus.form = Form::float32, size = 4;
  } else if (form == "float16") {
    corpus.form = Form::float16, size = 2;
  } else if (form == "int8") {
    corpus.form = Form::int8;
  } else if (form == "uint8") {
    corpus.form = Form::uint8;
  } else if (form == "bits") {
    corpus.form = Form::bits;
  } else {
    throw std::invalid_argument("unknown form '" + form + "'; known: float32, float16, int8, uint8, bits");
  }
  const std::size_t bytes = rows.shape(1);
  require(bytes >= 1 && bytes <= (std::size_t{1} << 24) && bytes % size == 0, "rows of " + std::to_string(bytes) + " bytes cannot be " + form);
  corpus.data = rows.data();
  corpus.rows = static_cast<std::int64_t>(rows.shape(0));
  corpus.dims = static_cast<int>(corpus.form == Form::bits ? bytes * 8 : bytes / size);
  return corpus;
}

template <class Score>
scoring::Found<Score> found_in(const Out<Score>& scores, const Out<std::int64_t>& rows, std::size_t queries, std::int64_t most) {
  require(scores.shape(0) == queries && rows.shape(0) == queries && scores.shape(1) == rows.shape(1),
          "scores and rows must have one shape, [queries, k]");
  require(static_cast<std::int64_t>(scores.shape(1)) <= most,
          "k is " + std::to_string(scores.shape(1)) + ", but there are " + std::to_string(most) + " rows to choose from");
  return {scores.data(), rows.data(), static_cast<std::int64_t>(scores.shape(1))};
}

void check_queries(std::size_t dims, const Corpus& corpus, int threads) {
  require(dims == static_cast<std::size_t>(corpus.dims), "queries have " + std::to_string(dims) + " dimensions, the corpus " +
                                                             std::to_string(corpus.dims));
  require(threads >= 1, "threads must be at least 1, got " + std::to_string(threads));
}

void top_dots(const std::string& isa, const Bytes& rows, const std::string& form, const In<float, 2>& queries, const In<float, 1>& bias,
              bool cosine, const std::optional<In<float, 2>>& affine, const std::optional<In<std::int64_t, 2>>& candidates, int threads,
              const Out<float>& scores, const Out<std::int64_t>& found_rows) {
  const scoring::Table& table = scoring::select_table(isa.c_str());
  const Corpus corpus = corpus_of(rows, form);
  check_queries(queries.shape(1), corpus, threads);
  require(bias.shape(0) == queries.shape(0), "there must be one bias a query");
  require(!cosine || corpus.form != Form::bits, "rows of bits have one length: their cosine is a dot product");
  scoring::DotQueries asked{queries.data(), bias.data(), static_cast<std::int64_t>(queries.shape(0)), cosine, nullptr, nullptr};
  if (affine) {
    require(affine->shape(0) == 2 && affine->shape(1) == queries.shape(1), "affine must be [2, dims]: steps and bases");
    asked.step = affine->data();
    asked.base = affine->data() + affine->shape(1);
  }
  std::int64_t most = corpus.rows;
  if (candidates) {
    require(candidates->shape(0) == queries.shape(0), "there must be one row of candidates a query");
    most = static_cast<std::int64_t>(candidates->shape(1));
  }
  const auto found = found_in<float>(scores, found_rows, queries.shape(0), most);
  const nb::gil_scoped_release release;
  if (candidates) {
    best_of_candidates(table, corpus, asked, candidates->data(), most, threads, found);
  } else {
    best_dots(table, corpus, asked, threads, found);
  }
}

void top_integer_dots(const std::string& isa, const Bytes& rows, const std::string& form, const In<std::int16_t, 2>& queries, int threads,
                      const Out<std::int32_t>& scores, const Out<std::int64_t>& found_rows) {
  const scoring::Table& table = scoring::select_table(isa.c_str());
  const Corpus corpus = corpus_of(rows, form);
  check_queries(queries.shape(1), corpus, threads);
  require(corpus.form == Form::int8 || corpus.form == Form::uint8, "whole numbers are int8 or uint8, not " + form);
  require(corpus.dims <= (1 << 15), "sums over more than 32,768 dimensions may not fit 32 bits");
  const auto found = found_in<std::int32_t>(scores, found_rows, queries.shape(0), corpus.rows);
  const nb::gil_scoped_release release;
  best_integer_dots(table, corpus, queries.data(), static_cast<std::int64_t>(queries.shape(0)), threads, found);
}

void top_hamming(const std::string& isa, const Bytes& rows, const Bytes& queries, int threads, const Out<std::int32_t>& scores,
                 const Out<std::int64_t>& found_rows) {
  const scoring::Table& table = scoring::select_table(isa.c_str());
  const Corpus corpus = corpus_of(rows, "bits");
  check_queries(queries.shape(1) * 8, corpus, threads);
  const auto found = found_in<std::int32_t>(scores, found_rows, queries.shape(0), corpus.rows);
  const nb::gil_scoped_release release;
  best_hamming(table, corpus, queries.data(), static_cast<std::int64_t>(queries.shape(0)), threads, found);
}

void top_weighted_bits(const std::string& isa, const Bytes& rows, const In<float, 2>& queries, int threads,
                       const Out<std::int32_t>& scores, const Out<std::int64_t>& found_rows) {
  const scoring::Table& table = scoring::select_table(isa.c_str());
  const Corpus corpus = corpus_of(rows, "bits");
  check_queries(queries.shape(1), corpus, threads);
  const auto found = found_in<std::int32_t>(scores, found_rows, queries.shape(0), corpus.rows);
  const nb::gil_scoped_release release;
  best_weighted_bits(table, corpus, queries.data(), static_cast<std::int64_t>(queries.shape(0)), threads, found);
}

}  // namespace

void bind_scoring(nb::module_& m) {
  m.def("scans", [] {
    nb::list result;
    for (const scoring::Table* const* at = scoring::all_tables(); *at != nullptr; ++at) {
      result.append(nb::make_tuple((*at)->name, (*at)->supported()));
    }
    return result;
  }, "Every table of scans that was built, best first, as (name, whether this CPU runs it).");
  m.def("top_dots", &top_dots, nb::kw_only(), nb::arg("isa"), nb::arg("rows"), nb::arg("form"), nb::arg("queries"), nb::arg("bias"),
        nb::arg("cosine"), nb::arg("affine").none(), nb::arg("candidates").none(), nb::arg("threads"), nb::arg("scores"),
        nb::arg("found"));
  m.def("top_integer_dots", &top_integer_dots, nb::kw_only(), nb::arg("isa"), nb::arg("rows"), nb::arg("form"), nb::arg("queries"),
        nb::arg("threads"), nb::arg("scores"), nb::arg("found"));
  m.def("top_hamming", &top_hamming, nb::kw_only(), nb::arg("isa"), nb::arg("rows"), nb::arg("queries"), nb::arg("threads"),
        nb::arg("scores"), nb::arg("found"));
  m.def("top_weighted_bits", &top_weighted_bits, nb::kw_only(), nb::arg("isa"), nb::arg("rows"), nb::arg("queries"),
        nb::arg("threads"), nb::arg("scores"), nb::arg("found"));
}

}  // namespace crumb
