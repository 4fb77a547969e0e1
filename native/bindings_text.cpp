// What Python sees of the tokenizer. Takes strings to UTF-8 and lets go of the interpreter lock, and nothing else.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/wordpiece.h"

namespace nb = nanobind;

namespace crumb {
namespace {

// UTF-8 as a bytes object of our own: Python would keep what PyUnicode_AsUTF8AndSize makes as long as the text lives. Lone
// surrogates pass; the normaliser removes them.
nb::bytes utf8_of(nb::handle text) {
  PyObject* bytes = PyUnicode_AsUTF8String(text.ptr());
  if (bytes == nullptr && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
    PyErr_Clear();
    bytes = PyUnicode_AsEncodedString(text.ptr(), "utf-8", "surrogatepass");
  }
  if (bytes == nullptr) throw nb::python_error();
  return nb::steal<nb::bytes>(bytes);
}

std::string_view view_of(const nb::bytes& bytes) {
  return {static_cast<const char*>(bytes.data()), bytes.size()};
}

template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> array_of(std::vector<T>&& values) {
  auto* const kept = new std::vector<T>(std::move(values));
  const nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return {kept->data(), {kept->size()}, owner};
}

constexpr std::size_t kBytesWithLock = 2048;  // some 50 us of work

nb::tuple encode_texts(const WordPiece& self, const nb::list& texts, int threads, std::optional<std::size_t> enough) {
  if (threads < 1) throw std::invalid_argument("threads must be at least 1, got " + std::to_string(threads));
  std::vector<nb::bytes> kept;
  std::vector<std::string_view> views;
  kept.reserve(texts.size());
  views.reserve(texts.size());
  for (const nb::handle text : texts) {
    kept.push_back(utf8_of(text));
    views.push_back(view_of(kept.back()));
  }
  WordPiece::Batch batch;
  std::size_t bytes = 0;
  for (const std::string_view view : views) bytes += view.size();
  {
    // A short text is done before another thread could make use of the lock, and getting it back may take long.
    std::optional<nb::gil_scoped_release> release;
    if (bytes > kBytesWithLock) release.emplace();
    batch = self.encode(views, threads, std::min(enough.value_or(WordPiece::kAll), WordPiece::kAll));
  }
  return nb::make_tuple(array_of(std::move(batch.ids)), array_of(std::move(batch.offsets)), batch.left);
}

}  // namespace

void bind_text(nb::module_& m) {
  nb::class_<WordPiece>(m, "WordPiece")
      .def(
          "__init__",
          [](WordPiece* self, const nb::dict& vocabulary, std::int32_t unknown, bool uncased, std::size_t longest_word,
             std::vector<std::string> added) {
            std::vector<std::pair<std::string_view, std::int32_t>> entries;
            entries.reserve(vocabulary.size());
            for (const auto& [piece, id] : vocabulary) {
              Py_ssize_t size = 0;
              const char* const bytes = PyUnicode_AsUTF8AndSize(piece.ptr(), &size);
              if (bytes == nullptr) throw nb::python_error();
              std::int32_t number = 0;
              if (!nb::try_cast(id, number)) throw nb::value_error("a token's id is no 32-bit number");
              entries.emplace_back(std::string_view(bytes, static_cast<std::size_t>(size)), number);
            }
            new (self) WordPiece(entries, unknown, uncased, longest_word, std::move(added));
          },
          nb::arg("vocabulary"), nb::kw_only(), nb::arg("unknown"), nb::arg("uncased"), nb::arg("longest_word"),
          nb::arg("added"))
      .def("encode", &encode_texts, nb::arg("texts"), nb::arg("threads"), nb::arg("enough") = nb::none(),
           "Ids of all texts, offsets [texts + 1], and the texts that are left to the library.")
      .def(
          "words",
          [](const WordPiece& self, const nb::str& text) -> nb::object {
            const nb::bytes bytes = utf8_of(text);
            std::vector<std::string> words;
            if (!self.words(view_of(bytes), words)) return nb::none();
            return nb::cast(words);
          },
          nb::arg("text"), "The normalised words of a text; None where it is left to the library.");
}

}  // namespace crumb
