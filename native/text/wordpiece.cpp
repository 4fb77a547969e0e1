#include "wordpiece.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>

#include "../team.h"

namespace crumb {

namespace {

constexpr std::string_view kInside = "##";
constexpr std::size_t kTaskBytes = 1 << 16;  // some hundred microseconds

// FNV-1a, because it goes byte by byte: the hashes of all prefixes of a word cost no more than that of the word.
constexpr std::uint64_t kSeed = 0xCBF29CE484222325;
constexpr std::uint64_t step(std::uint64_t hash, char byte) {
  return (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
}
constexpr std::uint64_t hash_of(std::string_view bytes) {
  std::uint64_t hash = kSeed;
  for (const char byte : bytes) hash = step(hash, byte);
  return hash;
}
constexpr std::uint64_t kInsideSeed = hash_of(kInside);

// FNV's low bits are its best, but alike for alike endings: the slot takes them, the tag the high ones.
std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
std::size_t home_of(std::uint64_t hash, std::size_t mask) { return static_cast<std::size_t>(hash ^ hash >> 29) & mask; }

}  // namespace

WordPiece::WordPiece(const std::vector<std::pair<std::string_view, std::int32_t>>& vocabulary, std::int32_t unknown,
                     bool uncased, std::size_t longest_word, std::vector<std::string> added)
    : splitter_(uncased, longest_word), unknown_(unknown), added_(std::move(added)) {
  std::size_t bytes = 0;
  for (const auto& [piece, id] : vocabulary) bytes += piece.size();
  if (bytes > UINT32_MAX) throw std::invalid_argument("a vocabulary of more than 4 GB");
  pieces_.reserve(bytes);
  slots_.resize(std::bit_ceil(vocabulary.size() * 2 + 1));
  const std::size_t mask = slots_.size() - 1;
  for (const auto& [piece, id] : vocabulary) {
    if (id < 0) throw std::invalid_argument("token '" + std::string(piece) + "' has a negative id");
    if (piece.empty()) continue;  // no word is empty
    const std::uint64_t hash = hash_of(piece);
    std::size_t i = home_of(hash, mask);
    while (slots_[i].id >= 0) i = (i + 1) & mask;
    slots_[i] = {tag_of(hash), static_cast<std::uint32_t>(pieces_.size()), static_cast<std::uint32_t>(piece.size()), id};
    pieces_ += piece;
    longest_piece_ = std::max(longest_piece_, piece.size());
  }
}

WordPiece::Batch WordPiece::encode(const std::vector<std::string_view>& texts, int threads, std::size_t enough) const {
  std::vector<std::size_t> starts{0};  // of the tasks, in texts
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    bytes += texts[i].size();
    if (bytes >= kTaskBytes || i + 1 == texts.size()) {
      starts.push_back(i + 1);
      bytes = 0;
    }
  }
  const std::size_t tasks = starts.size() - 1;
  std::vector<Batch> parts(tasks);
  const auto work = [&](std::size_t task, int) {
    Batch& part = parts[task];
    Scratch scratch;
    for (std::size_t i = starts[task]; i < starts[task + 1]; ++i) {
      const std::size_t before = part.ids.size();
      if (!encode_text(texts[i], before + enough, scratch, part.ids)) {
        part.ids.resize(before);
        part.left.push_back(static_cast<std::int64_t>(i));
      }
      part.offsets.push_back(static_cast<std::int64_t>(part.ids.size()));
    }
  };
  Team(static_cast<int>(std::min(static_cast<std::size_t>(threads), tasks))).run(tasks, work);

  Batch whole;
  if (tasks == 1) {
    whole = std::move(parts[0]);
    whole.offsets.insert(whole.offsets.begin(), 0);
    return whole;
  }
  whole.offsets.reserve(texts.size() + 1);
  whole.offsets.push_back(0);
  std::size_t total = 0;
  for (const Batch& part : parts) total += part.ids.size();
  whole.ids.reserve(total);
  for (const Batch& part : parts) {
    const auto base = static_cast<std::int64_t>(whole.ids.size());
    for (const std::int64_t offset : part.offsets) whole.offsets.push_back(base + offset);
    whole.ids.insert(whole.ids.end(), part.ids.begin(), part.ids.end());
    whole.left.insert(whole.left.end(), part.left.begin(), part.left.end());
  }
  return whole;
}

bool WordPiece::words(std::string_view text, std::vector<std::string>& out) const {
  std::vector<char> room;
  return !has_added(text) &&
         splitter_.split(text, room, [&](std::string_view word, std::size_t) {
           out.emplace_back(word);
           return true;
         });
}

bool WordPiece::encode_text(std::string_view text, std::size_t enough, Scratch& scratch,
                            std::vector<std::int32_t>& ids) const {
  return !has_added(text) && splitter_.split(text, scratch.word, [&](std::string_view word, std::size_t characters) {
    if (characters > splitter_.longest()) {
      ids.push_back(unknown_);
    } else {
      encode_word(word, scratch, ids);
    }
    return ids.size() < enough;
  });
}

// Greedy: the longest piece at each place; a word that cannot be covered so is unknown as a whole.
void WordPiece::encode_word(std::string_view word, Scratch& scratch, std::vector<std::int32_t>& ids) const {
  const std::size_t before = ids.size();
  for (std::size_t start = 0; start < word.size();) {
    const std::size_t skip = start == 0 ? 0 : kInside.size();
    const std::string_view rest = word.substr(start, longest_piece_);
    std::uint64_t hash = start == 0 ? kSeed : kInsideSeed;
    scratch.hashes.clear();
    for (const char byte : rest) scratch.hashes.push_back(hash = step(hash, byte));
    std::size_t size = rest.size();
    for (; size > 0; --size) {
      const Slot& slot = find(scratch.hashes[size - 1], rest.substr(0, size), skip);
      if (slot.id >= 0) {
        ids.push_back(slot.id);
        break;
      }
    }
    if (size == 0) {
      ids.resize(before);
      ids.push_back(unknown_);
      return;
    }
    start += size;
  }
}

bool WordPiece::has_added(std::string_view text) const {
  return std::any_of(added_.begin(), added_.end(),
                     [&](const std::string& token) { return text.find(token) != std::string_view::npos; });
}

// The slot of `piece`, which stands in the vocabulary behind the first `skip` bytes of "##"; or an empty one.
const WordPiece::Slot& WordPiece::find(std::uint64_t hash, std::string_view piece, std::size_t skip) const {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = home_of(hash, mask);; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.id < 0) return slot;
    if (slot.tag != tag_of(hash) || slot.size != skip + piece.size()) continue;
    const char* const stored = pieces_.data() + slot.at;
    if (std::memcmp(stored, kInside.data(), skip) == 0 && std::memcmp(stored + skip, piece.data(), piece.size()) == 0) {
      return slot;
    }
  }
}

}  // namespace crumb
