// The tokenizer by itself, for the sanitizers: greedy pieces by hand, and bytes of every kind, UTF-8 or not. That the ids are the
// tokenizers library's is for tests/test_wordpiece.py.
#include "../text/wordpiece.h"

#include <cstdio>
#include <cstdlib>
#include <random>

namespace {

void require(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "FAILED: %s\n", what);
  std::exit(1);
}

using Ids = std::vector<std::int32_t>;

}  // namespace

int main() {
  using crumb::WordPiece;
  const std::vector<std::pair<std::string_view, std::int32_t>> vocabulary = {
      {"[UNK]", 0}, {"un", 1}, {"##aff", 2}, {"##able", 3}, {"una", 4}, {"##ff", 5}, {".", 6}, {"\xE4\xB8\xAD", 7}, {"e", 8}};
  const WordPiece uncased(vocabulary, 0, true, 10, {"[MASK]"});
  const WordPiece cased(vocabulary, 0, false, 10, {});

  const std::vector<std::string_view> texts = {"Unaffable. ", "", "una\xE4\xB8\xAD\xC3\x89", "a [MASK]", "unx", "e\xCC\x81"};
  const WordPiece::Batch batch = uncased.encode(texts, 1);
  require(batch.ids == Ids{4, 5, 3, 6, 4, 7, 8, 0, 8}, "ids by hand");
  require(batch.offsets == std::vector<std::int64_t>{0, 4, 4, 7, 7, 8, 9}, "offsets by hand");
  require(batch.left == std::vector<std::int64_t>{3}, "an added token is left to the library");
  require(cased.encode({"unaffable", "Una"}, 1).ids == Ids{4, 5, 3, 0}, "case is kept");
  require(uncased.encode(texts, 1, 2).ids == Ids{4, 5, 3, 6, 4, 7, 0, 8}, "a text may end where it has enough");
  require(uncased.encode({}, 4).offsets == std::vector<std::int64_t>{0}, "no texts");

  std::mt19937 dice(1);
  std::vector<std::string> noise;
  for (int i = 0; i < 2000; ++i) {
    std::string text(dice() % 400, ' ');
    for (char& byte : text) byte = static_cast<char>(dice() % 3 == 0 ? dice() % 256 : "unaffable ."[dice() % 11]);
    noise.push_back(text);
  }
  noise.push_back(std::string(1 << 20, 'u'));
  const std::vector<std::string_view> views(noise.begin(), noise.end());
  const WordPiece::Batch one = uncased.encode(views, 1), five = uncased.encode(views, 5);
  require(one.ids == five.ids && one.offsets == five.offsets && one.left == five.left, "threads give the same");
  std::puts("tokenizer: passed");
}
