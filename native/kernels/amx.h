// Rows times packed panels in AMX tiles: the product (generic/gemm.h) of the two AMX kernels.
//
// Enters and leaves as generic::Tiled. A block is 32 rows by one panel of 32 columns in four tiles of sums; rows are read where
// they lie and a panel's [slots / depth][32][depth] is two tiles side by side. The last rows of a matrix are met by tiles of
// fewer rows, so nothing behind them is read.
//
// With CRUMB_AMX_EMULATED the instructions are done in C++, for tests on CPUs without AMX.
#pragma once

#include "generic/gemm.h"

#include <cstdint>

#include "vec_avx512.h"

#if defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace crumb::amx {

// One palette-1 configuration, as LDTILECFG reads it.
struct alignas(64) Config {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

#if defined(CRUMB_AMX_EMULATED)

struct Tile {
  int rows;
  int bytes;
  alignas(64) unsigned char data[16][64];
};
static thread_local Tile tiles[8];

static inline void configure(const Config& config) {
  for (int i = 0; i < 8; ++i) tiles[i] = {config.rows[i], config.row_bytes[i], {}};
}
static inline void release() {
  for (Tile& tile : tiles) tile.rows = 0;
}
template <int t>
static inline void zero() {
  __builtin_memset(tiles[t].data, 0, sizeof tiles[t].data);
}
template <int t>
static inline void load(const void* from, std::ptrdiff_t stride) {
  zero<t>();
  for (int r = 0; r < tiles[t].rows; ++r) {
    __builtin_memcpy(tiles[t].data[r], static_cast<const char*>(from) + r * stride, static_cast<unsigned>(tiles[t].bytes));
  }
}
template <int t>
static inline void store(void* to, std::ptrdiff_t stride) {
  for (int r = 0; r < tiles[t].rows; ++r) {
    __builtin_memcpy(static_cast<char*>(to) + r * stride, tiles[t].data[r], static_cast<unsigned>(tiles[t].bytes));
  }
}
template <class T, class From>
static inline T at(const From* bytes, int index) {
  T value;
  __builtin_memcpy(&value, reinterpret_cast<const char*>(bytes) + index * static_cast<int>(sizeof value), sizeof value);
  return value;
}
static inline float bf16(std::uint16_t half) {
  const std::uint32_t bits = static_cast<std::uint32_t>(half) << 16;
  return at<float>(&bits, 0);
}
template <class T, class Product>
static inline void multiply(Tile& c, const Tile& a, const Tile& b, Product product) {
  for (int m = 0; m < c.rows; ++m) {
    for (int n = 0; n < c.bytes / 4; ++n) {
      T sum = at<T>(c.data[m], n);
      for (int k = 0; k < a.bytes / 4; ++k) sum = product(sum, a.data[m] + 4 * k, b.data[k] + 4 * n);
      __builtin_memcpy(c.data[m] + 4 * n, &sum, sizeof sum);
    }
  }
}
template <int c, int a, int b>
static inline void dot_bf16() {
  multiply<float>(tiles[c], tiles[a], tiles[b], [](float sum, const unsigned char* x, const unsigned char* y) {
    sum += bf16(at<std::uint16_t>(x, 0)) * bf16(at<std::uint16_t>(y, 0));
    return sum + bf16(at<std::uint16_t>(x, 1)) * bf16(at<std::uint16_t>(y, 1));
  });
}
template <int c, int a, int b>
static inline void dot_int8() {
  multiply<std::int32_t>(tiles[c], tiles[a], tiles[b], [](std::int32_t sum, const unsigned char* x, const unsigned char* y) {
    for (int i = 0; i < 4; ++i) sum += x[i] * static_cast<std::int8_t>(y[i]);
    return sum;
  });
}
static inline bool supported(unsigned) { return avx512::has_base() && __builtin_cpu_supports("avx512bf16"); }

#else

// Not the intrinsics: GCC's are macros that need the tile's number as a literal.
static inline void configure(const Config& config) { __asm__ volatile("ldtilecfg %0" : : "m"(config)); }
static inline void release() { __asm__ volatile("tilerelease"); }
template <int t>
static inline void zero() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(t));
}
template <int t>
static inline void load(const void* from, std::ptrdiff_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(t) : "memory");
}
template <int t>
static inline void store(void* to, std::ptrdiff_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(t) : "memory");
}
template <int c, int a, int b>
static inline void dot_bf16() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
}
template <int c, int a, int b>
static inline void dot_int8() {
  __asm__ volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
}

// CPUID's word for the tiles and `instructions` (bits of leaf 7's EDX), and the system's leave to use them, which a process
// asks for once (Linux: arch_prctl ARCH_REQ_XCOMP_PERM for XTILEDATA).
static inline bool supported(unsigned instructions) {
#if defined(__linux__)
  constexpr unsigned tile = 1U << 24;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!avx512::has_base() || !__builtin_cpu_supports("avx512bf16")) return false;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & tile) == 0 || (edx & instructions) != instructions) return false;
  constexpr long request_permission = 0x1023;
  constexpr long tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  static_cast<void>(instructions);
  return false;
#endif
}

#endif

// The tiles' configuration, made when it is first needed and kept until the thread is done with a run of products: a thread that
// went on with tiles would have them saved at each switch.
class Session {
 public:
  ~Session() {
    if (rows_ > 0) release();
  }

  // Tiles 0-3 hold the sums of 2 x 2 blocks, 4 and 5 `rows` rows in all, 6 and 7 columns of the panel.
  void tiles_of(int rows) {
    if (rows == rows_) return;
    const auto upper = static_cast<std::uint8_t>(rows < 16 ? rows : 16);
    const auto lower = static_cast<std::uint8_t>(rows - upper);
    Config config;
    const std::uint8_t heights[8] = {upper, upper, lower, lower, upper, lower, 16, 16};
    for (int t = 0; t < 8; ++t) {
      config.rows[t] = heights[t];
      config.row_bytes[t] = heights[t] > 0 ? 64 : 0;
    }
    configure(config);
    rows_ = rows;
  }

 private:
  int rows_ = 0;
};

template <class D>
struct Product {
  using Format = D;
  using Session = amx::Session;
  static constexpr int panel = 32;
  static constexpr int row_tile = 32;
  static constexpr int step = 16 * D::depth;
  // A core multiplies all rows of 96 in a third of the time in which it can read the weights from L3
  static constexpr int block_rows = 256;
  static constexpr int W = D::Vec::width;
  using Sums = typename D::Sum[row_tile][2];

  // A block's sums on their way out, a few rows at a time between the tile instructions of the next block: those wait for each
  // other far longer than it takes to issue them, and what becomes of the sums costs about as much again.
  template <class Store>
  struct Leaving {
    struct Block {
      const typename D::Sum (*sums)[2];
      int row, column, columns, rows;
    };

    Store store;
    Block block{};
    int done = 0;

    void begin(const Block& next) {
      block = next;
      done = 0;
    }
    inline __attribute__((always_inline)) void advance(int count) {
      for (const int end = block.rows - done < count ? block.rows : done + count; done < end; ++done) {
        generic::store_row<W>(store, block.sums[done], block.row + done, block.column, block.columns);
      }
    }
  };

  // The next panel, fetched to L2 while this one is multiplied: as many lines a step as it takes. What fits L1 is left alone.
  struct Ahead {
    static constexpr std::ptrdiff_t kLeast = 16384;
    const char* at;
    std::ptrdiff_t left = 0;
    int lines_a_step;

    Ahead(const typename D::Weight* from, int k, int tiles) : at(reinterpret_cast<const char*>(from)) {
      constexpr int step_bytes = step * panel * static_cast<int>(sizeof(typename D::Weight));
      const std::ptrdiff_t bytes = static_cast<std::ptrdiff_t>(k / step) * step_bytes;
      if (from != nullptr && bytes >= kLeast) left = bytes;
      lines_a_step = (step_bytes / 64 + tiles - 1) / tiles;
    }
    inline void advance() {
      for (int i = 0; i < lines_a_step && left > 0; ++i, at += 64, left -= 64) __builtin_prefetch(at, 0, 2);
    }
  };

  template <bool both, class Store>
  static inline void sum(const typename D::Row* a, std::ptrdiff_t lda, int k, const typename D::Weight* at,
                         typename D::Sum (*sums)[2], Leaving<Store>& leaving, Ahead& ahead) {
    constexpr std::ptrdiff_t line = 64;
    const std::ptrdiff_t row = lda * static_cast<std::ptrdiff_t>(sizeof(typename D::Row));
    const int share = (leaving.block.rows * step + k - 1) / k;
    zero<0>();
    zero<1>();
    if constexpr (both) zero<2>();
    if constexpr (both) zero<3>();
    for (int i = 0; i < k; i += step) {
      const auto* columns = reinterpret_cast<const char*>(at + static_cast<std::ptrdiff_t>(i) * panel);
      load<4>(a + i, row);
      load<6>(columns, 2 * line);
      load<7>(columns + line, 2 * line);
      D::template tiles<0, 4, 6>();
      D::template tiles<1, 4, 7>();
      if constexpr (both) {
        load<5>(a + 16 * lda + i, row);
        D::template tiles<2, 5, 6>();
        D::template tiles<3, 5, 7>();
      }
      ahead.advance();
      leaving.advance(share);
    }
    auto* to = reinterpret_cast<char*>(sums);
    store<0>(to, 2 * line);
    store<1>(to + line, 2 * line);
    if constexpr (both) store<2>(to + 32 * line, 2 * line);
    if constexpr (both) store<3>(to + 33 * line, 2 * line);
  }

  template <class Store>
  static inline void gemm(Session& session, const typename D::Row* a, std::ptrdiff_t lda, int rows, int k,
                          const typename D::Weight* panels, std::ptrdiff_t panel_stride, int out, Store store_sum) {
    alignas(64) Sums sums[2];
    int turn = 0;
    Leaving<Store> leaving{store_sum};
    // Tiles are set anew for the last rows of every panel where they are fewer: cheaper than reading all panels again for them.
    for (int column = 0; column < out; column += panel) {
      const typename D::Weight* at = panels + (column / panel) * panel_stride;
      Ahead ahead(column + panel < out ? at + panel_stride : nullptr, k, (rows + row_tile - 1) / row_tile);
      for (int row = 0; row < rows; row += row_tile) {
        const int count = rows - row < row_tile ? rows - row : row_tile;
        session.tiles_of(count);
        if (count > 16) {
          sum<true>(a + row * lda, lda, k, at, sums[turn], leaving, ahead);
        } else {
          sum<false>(a + row * lda, lda, k, at, sums[turn], leaving, ahead);
        }
        leaving.begin({sums[turn], row, column, out - column < panel ? out - column : panel, count});
        turn = 1 - turn;
      }
    }
    leaving.advance(row_tile);
  }

  // The instruction alone, on four independent sums.
  static std::int64_t peak(int rounds) {
    Session session;
    session.tiles_of(row_tile);
    zero<0>();
    zero<1>();
    zero<2>();
    zero<3>();
    zero<4>();
    zero<5>();
    zero<6>();
    zero<7>();
    for (int r = 0; r < rounds; ++r) {
      D::template tiles<0, 4, 6>();
      D::template tiles<1, 4, 7>();
      D::template tiles<2, 5, 6>();
      D::template tiles<3, 5, 7>();
    }
    return static_cast<std::int64_t>(rounds) * row_tile * panel * step;
  }
};

}  // namespace crumb::amx
