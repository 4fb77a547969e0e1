// BERT's normaliser and pre-tokenizer in one pass: a text to its words.
//
// Enters: UTF-8. Leaves: normalised words one by one, as bytes and a count of characters. Knows nothing of vocabularies.
// Every code point is mapped on its own, which is exact but for the few that unicode.h says are not a matter of one code point:
// a text with one of those is given back.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "unicode.h"

namespace crumb {

class WordSplitter {
 public:
  // Words of more than `longest` characters are counted in full but only their first characters are kept.
  WordSplitter(bool uncased, std::size_t longest) : uncased_(uncased), longest_(longest) {
    for (unsigned char b = 0; b < kAscii; ++b) {
      const Image image = image_of(b, uncased);
      ascii_[b] = image.kind == Kind::space         ? kSpace
                  : image.kind == Kind::punctuation ? kPunctuation
                  : image.count == 0                ? kRemoved
                                                    : static_cast<unsigned char>(image.out[0]);
    }
  }

  std::size_t longest() const { return longest_; }

  // Calls word(bytes, characters) for every word, which says whether to go on (one more word may come after it said no);
  // `room` is for scratch. False where the text cannot be split here: the words seen so far are then worth nothing.
  template <class Word>
  bool split(std::string_view text, std::vector<char>& room, Word&& word) const {
    room.resize((longest_ + 1) * 4);
    char* const bytes = room.data();
    std::size_t size = 0, characters = 0;
    bool more = true;
    const auto flush = [&] {
      if (characters > 0) more = word(std::string_view(bytes, size), characters);
      size = characters = 0;
    };
    const auto append = [&](char32_t c) {
      if (++characters <= longest_) size += static_cast<std::size_t>(put_utf8(c, bytes + size));
    };
    const auto alone = [&](char32_t c) {
      flush();
      append(c);
      flush();
    };
    const char* at = text.data();
    const char* const end = at + text.size();
    while (more && at < end) {
      const auto byte = static_cast<unsigned char>(*at);
      if (byte < kAscii) {
        ++at;
        const unsigned char what = ascii_[byte];
        if (what > kRemoved) {
          if (++characters <= longest_) bytes[size++] = static_cast<char>(what);
        } else if (what == kSpace) {
          flush();
        } else if (what == kPunctuation) {
          alone(byte);
        }
        continue;
      }
      const Image image = image_of(next_code_point(at, end), uncased_);
      if (!image.known) return false;
      if (image.kind == Kind::space) {
        flush();
      } else if (image.kind == Kind::cjk) {
        flush();
        for (int i = 0; i < image.count; ++i) append(image.out[i]);
        flush();
      } else {
        for (int i = 0; i < image.count; ++i) {
          // the image decides: U+2260 is a symbol, but without its stroke an equals sign
          kind_of(image.out[i]) == Kind::punctuation ? alone(image.out[i]) : append(image.out[i]);
        }
      }
    }
    flush();
    return true;
  }

 private:
  static constexpr unsigned char kAscii = 0x80, kSpace = 0, kPunctuation = 1, kRemoved = 2;

  bool uncased_;
  std::size_t longest_;
  std::array<unsigned char, kAscii> ascii_{};
};

}  // namespace crumb
