// What BERT's normaliser makes of one code point, as the tokenizers library sees Unicode.
//
// Enters: a code point. Leaves: its class and its image. Knows nothing of words or vocabularies.
#pragma once

#include <cstdint>
#include <string_view>

namespace crumb {

enum class Kind : std::uint8_t { word, punctuation, cjk, space, removed };

// How the uncased normaliser (canonical decomposition, accents stripped, lower case) gets the image.
enum class Fold : std::uint8_t {
  same,
  drop,     // nothing remains
  shift,    // value is added
  table,    // kOutputs[value + code point - first]
  several,  // kOutputs[value...] up to a 0
  hangul,   // decomposes by arithmetic
  library,  // may change places with its neighbours: not a matter of one code point
};

struct Run {
  std::uint32_t first, last;
  Kind kind;
  Fold fold;
  std::int32_t value;
};

struct Image {
  Kind kind;        // of the code point itself
  bool known;       // false: the image depends on the neighbours
  int count;        // code points in the image; 0 for spaces and what is removed
  char32_t out[3];
};

// `uncased`: lower case without accents, else the text as it stands.
Image image_of(char32_t c, bool uncased);

Kind kind_of(char32_t c);

// One code point of UTF-8 (surrogates allowed) from `at`, which moves on; never reads past `end`.
char32_t next_code_point(const char*& at, const char* end);

// Writes 1 to 4 bytes, returns how many.
int put_utf8(char32_t c, char* out);

}  // namespace crumb
