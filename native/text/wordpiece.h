// BERT's tokenizer: texts to WordPiece ids.
//
// Enters: a vocabulary once, then batches of UTF-8 texts. Leaves: ids without special tokens, texts one behind the other, and which
// texts it must leave to the tokenizers library: those with an added token ("[MASK]") in them, and those that words.h gives
// back. All others get the library's ids exactly. Knows nothing of contexts. Safe to use from many threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "words.h"

namespace crumb {

class WordPiece {
 public:
  struct Batch {
    std::vector<std::int32_t> ids;
    std::vector<std::int64_t> offsets;  // [texts + 1]
    std::vector<std::int64_t> left;     // texts for the library, ascending; they have no ids here
  };

  // `vocabulary`: pieces and ids, those inside a word with "##" before them; the strings are copied.
  // `longest_word`: a word of more characters is `unknown`.
  WordPiece(const std::vector<std::pair<std::string_view, std::int32_t>>& vocabulary, std::int32_t unknown, bool uncased,
            std::size_t longest_word, std::vector<std::string> added);

  // A text's tokenising may end once it has `enough` ids: those are then its first ones, and what is behind them is not looked
  // at (but for added tokens).
  static constexpr std::size_t kAll = SIZE_MAX / 2;
  Batch encode(const std::vector<std::string_view>& texts, int threads, std::size_t enough = kAll) const;

  // The words that encode() looks up; false where the text is left to the library.
  bool words(std::string_view text, std::vector<std::string>& out) const;

 private:
  struct Slot {
    std::uint32_t tag = 0, at = 0, size = 0;
    std::int32_t id = -1;  // empty
  };
  struct Scratch {
    std::vector<char> word;
    std::vector<std::uint64_t> hashes;
  };

  bool encode_text(std::string_view text, std::size_t enough, Scratch& scratch, std::vector<std::int32_t>& ids) const;
  void encode_word(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& ids) const;
  bool has_added(std::string_view text) const;
  const Slot& find(std::uint64_t hash, std::string_view piece, std::size_t skip) const;

  WordSplitter splitter_;
  std::int32_t unknown_;
  std::vector<std::string> added_;
  std::string pieces_;       // all of the vocabulary
  std::vector<Slot> slots_;  // open addressing; a power of two, at most half full
  std::size_t longest_piece_ = 0;
};

}  // namespace crumb
