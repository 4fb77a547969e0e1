#include "unicode.h"

#include <algorithm>
#include <iterator>

#include "unicode_tables.h"

namespace crumb {

namespace {

constexpr Run kPlain{0, 0, Kind::word, Fold::same, 0};

const Run& run_of(char32_t c) {
  const Run* const after =
      std::upper_bound(std::begin(kRuns), std::end(kRuns), c, [](char32_t x, const Run& run) { return x < run.first; });
  if (after == std::begin(kRuns) || c > after[-1].last) return kPlain;
  return after[-1];
}

}  // namespace

Kind kind_of(char32_t c) { return run_of(c).kind; }

Image image_of(char32_t c, bool uncased) {
  const Run& run = run_of(c);
  Image image{run.kind, true, 1, {c, 0, 0}};
  if (run.kind == Kind::space || run.kind == Kind::removed) {
    image.count = 0;
    return image;
  }
  if (!uncased) return image;
  switch (run.fold) {
    case Fold::same: break;
    case Fold::drop: image.count = 0; break;
    case Fold::shift: image.out[0] = static_cast<char32_t>(static_cast<std::int32_t>(c) + run.value); break;
    case Fold::table: image.out[0] = kOutputs[static_cast<std::uint32_t>(run.value) + c - run.first]; break;
    case Fold::several: {
      const char32_t* const from = kOutputs + run.value;
      for (image.count = 0; from[image.count] != 0; ++image.count) image.out[image.count] = from[image.count];
      break;
    }
    case Fold::hangul: {  // the Unicode Standard, section 3.12
      const char32_t index = c - run.first;
      image.out[0] = 0x1100 + index / (21 * 28);
      image.out[1] = 0x1161 + index / 28 % 21;
      image.out[2] = 0x11A7 + index % 28;
      image.count = index % 28 == 0 ? 2 : 3;
      break;
    }
    case Fold::library: image.known = false; break;
  }
  return image;
}

char32_t next_code_point(const char*& at, const char* end) {
  const auto byte = [](char b) { return static_cast<char32_t>(static_cast<unsigned char>(b)); };
  const char32_t lead = byte(*at++);
  if (lead < 0x80) return lead;
  int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  char32_t c = lead & (0x3Fu >> more);
  for (; more > 0 && at < end; --more) c = c << 6 | (byte(*at++) & 0x3F);
  return c;
}

int put_utf8(char32_t c, char* out) {
  const auto tail = [c](int shift) { return static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) {
    out[0] = static_cast<char>(c);
    return 1;
  }
  if (c < 0x800) {
    out[0] = static_cast<char>(0xC0 | c >> 6);
    out[1] = tail(0);
    return 2;
  }
  if (c < 0x10000) {
    out[0] = static_cast<char>(0xE0 | c >> 12);
    out[1] = tail(6);
    out[2] = tail(0);
    return 3;
  }
  out[0] = static_cast<char>(0xF0 | c >> 18);
  out[1] = tail(12);
  out[2] = tail(6);
  out[3] = tail(0);
  return 4;
}

}  // namespace crumb
