// Weighted distances of bits by looking nibbles up, 32 rows at a time, in AVX2.
//
// Enters: BitsJob. Leaves: its scores. Rows are turned on the fly, so that one register holds the same byte of 32 rows; what four bits
// of a query weigh against each of the sixteen nibbles is a table of 16 bytes, and VPSHUFB looks 32 up at once. (The lookup is that
// of André, Kermarrec, Le Scouarnec: Cache locality is not enough, VLDB 2015; there the corpus is stored turned.) An eighth of the
// instructions of POPCNT, and the turning is shared by all queries.
#pragma once

#include <cstring>

#include "../kernels/vec_avx2.h"
#include "table.h"

namespace crumb::scoring::avx2 {

// For every byte of a row 16 bytes for its low nibble and 16 for its high one
static int table_words(int words) { return 32 * words; }

static void tabulate(std::uint64_t* record, int words, int planes) {
  const auto* bits = reinterpret_cast<const unsigned char*>(record);
  const unsigned char* weights = bits + 8 * words;
  auto* tables = reinterpret_cast<unsigned char*>(record + words * (1 + planes));
  for (int byte = 0; byte < 8 * words; ++byte) {
    for (int half = 0; half < 2; ++half) {
      unsigned char* table = tables + 32 * byte + 16 * half;
      table[0] = 0;
      unsigned char alone[4];
      for (int j = 0; j < 4; ++j) {
        const int bit = 4 * half + j;
        unsigned weight = 0;
        for (int p = 0; p < planes; ++p) weight |= (weights[8 * words * p + byte] >> bit & 1U) << p;
        alone[j] = static_cast<unsigned char>(weight);
      }
      for (int differing = 1; differing < 16; ++differing) {
        const int lowest = __builtin_ctz(static_cast<unsigned>(differing));
        table[differing] = static_cast<unsigned char>(table[differing & (differing - 1)] + alone[lowest]);
      }
      // by what the row has, not by how it differs
      unsigned char by_row[16];
      const int own = bits[byte] >> (4 * half) & 15;
      for (int nibble = 0; nibble < 16; ++nibble) by_row[nibble] = table[nibble ^ own];
      std::memcpy(table, by_row, sizeof by_row);
    }
  }
}

// columns[j] = byte j of the 32 rows, which lie 16 bytes each in `rows`
static inline __attribute__((always_inline)) void turn(__m256i (&x)[16]) {
  // four rounds of interleaving rows i and i + 8 put byte j of all rows into register j
#pragma GCC unroll 4
  for (int round = 0; round < 4; ++round) {
    __m256i y[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      y[2 * i] = _mm256_unpacklo_epi8(x[i], x[i + 8]);
      y[2 * i + 1] = _mm256_unpackhi_epi8(x[i], x[i + 8]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) x[i] = y[i];
  }
}

constexpr int kTurned = 128;  // bytes of a row that are turned at a time: sums of 128 * 120 fit 16 bits

// The nibbles of `bytes` <= kTurned bytes of 32 rows: [bytes rounded up to 16][low, high][32]
static inline void turn_rows(const unsigned char* const (&rows)[32], std::ptrdiff_t at, int bytes, unsigned char* nibbles) {
  const __m256i low = _mm256_set1_epi8(15);
  for (int chunk = 0; chunk < bytes; chunk += 16) {
    __m256i x[16];
    if (bytes - chunk >= 16) {
      for (int i = 0; i < 16; ++i) {
        x[i] = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[i] + at + chunk))),
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[i + 16] + at + chunk)), 1);
      }
    } else {
      alignas(32) unsigned char padded[16][32] = {};
      for (int i = 0; i < 32; ++i) {
        std::memcpy(padded[i % 16] + i / 16 * 16, rows[i] + at + chunk, static_cast<std::size_t>(bytes - chunk));
      }
      for (int i = 0; i < 16; ++i) x[i] = _mm256_load_si256(reinterpret_cast<const __m256i*>(padded[i]));
    }
    turn(x);
    auto* to = reinterpret_cast<__m256i*>(nibbles + 64 * chunk);
    for (int j = 0; j < 16; ++j) {
      _mm256_store_si256(to + 2 * j, _mm256_and_si256(x[j], low));
      _mm256_store_si256(to + 2 * j + 1, _mm256_and_si256(_mm256_srli_epi16(x[j], 4), low));
    }
  }
}

static inline __m256i look_up(const unsigned char* table, const unsigned char* nibbles) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table))),
                             _mm256_load_si256(reinterpret_cast<const __m256i*>(nibbles)));
}

// Subtracts what the turned bytes of 32 rows weigh from `sums`
static inline void weigh(const unsigned char* tables, const unsigned char* nibbles, int bytes, std::int32_t* sums) {
  // 16-bit lanes hold an even row's sum plus 256 times an odd row's, and an odd row's
  __m256i both = _mm256_setzero_si256();
  __m256i odd = _mm256_setzero_si256();
  for (int byte = 0; byte < bytes; byte += 2) {
    const unsigned char* t = tables + 32 * byte;
    const unsigned char* n = nibbles + 64 * byte;
    const __m256i first = _mm256_add_epi8(look_up(t, n), look_up(t + 16, n + 32));
    const __m256i second = _mm256_add_epi8(look_up(t + 32, n + 64), look_up(t + 48, n + 96));
    const __m256i sum = _mm256_add_epi8(first, second);  // at most 4 * 60
    both = _mm256_add_epi16(both, sum);
    odd = _mm256_add_epi16(odd, _mm256_srli_epi16(sum, 8));
  }
  const __m256i even = _mm256_sub_epi16(both, _mm256_slli_epi16(odd, 8));
  const __m256i halves[2] = {_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd)};
  for (int i = 0; i < 4; ++i) {  // rows 0 to 7 and 16 to 23 in one half, the others in the other
    const __m128i shorts = i < 2 ? _mm256_castsi256_si128(halves[i % 2]) : _mm256_extracti128_si256(halves[i % 2], 1);
    auto* to = reinterpret_cast<__m256i*>(sums + 8 * i);
    _mm256_storeu_si256(to, _mm256_sub_epi32(_mm256_loadu_si256(to), _mm256_cvtepu16_epi32(shorts)));
  }
}

static void bit_distances(const BitsJob& job) {
  alignas(32) unsigned char nibbles[64 * kTurned];
  for (int first = 0; first < job.count; first += 32) {
    const int count = job.count - first < 32 ? job.count - first : 32;
    const unsigned char* rows[32];
    for (int i = 0; i < 32; ++i) rows[i] = job.rows + (first + (i < count ? i : 0)) * job.bytes;
    for (std::ptrdiff_t at = 0; at < job.bytes; at += kTurned) {
      const int bytes = static_cast<int>(job.bytes - at < kTurned ? job.bytes - at : kTurned);
      turn_rows(rows, at, bytes, nibbles);
      for (int q = 0; q < job.query_count; ++q) {
        const auto* tables = reinterpret_cast<const unsigned char*>(job.queries + static_cast<std::ptrdiff_t>(q) * job.record +
                                                                    job.words * (1 + job.planes));
        std::int32_t sums[32] = {};
        std::int32_t* out = job.out + static_cast<std::ptrdiff_t>(q) * job.count + first;
        if (at > 0) std::memcpy(sums, out, sizeof(std::int32_t) * static_cast<std::size_t>(count));
        weigh(tables + 32 * at, nibbles, (bytes + 15) / 16 * 16, sums);
        std::memcpy(out, sums, sizeof(std::int32_t) * static_cast<std::size_t>(count));
      }
    }
  }
}

}  // namespace crumb::scoring::avx2
