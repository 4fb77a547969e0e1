// AVX2 and FMA, weights of bfloat16: half the memory, and half of the time where few rows wait for the weights to be read.
// Activations are float32 and are not rounded; so is every product and sum.
#include "generic/table.h"
#include "vec_avx2.h"

namespace crumb::avx2_bf16 {

extern const Kernels kernels;

using avx2::Vec;

// Two vectors of a line share a register, one in the lower and one in the upper halves of its lanes: what makes them float32 is
// one instruction each. The first is a shuffle of bytes and no shift, as Intel shifts where it multiplies.
struct Bf16Weights : generic::Float32<Vec> {
  using Float = generic::Float32<Vec>;
  using Weight = std::uint16_t;
  static constexpr bool apart = true;  // GELU's constants would push sums out

  static constexpr int place(int column) {
    const int pair = column % (2 * Vec::width);
    return column - pair + 2 * (pair % Vec::width) + pair / Vec::width;
  }
  static inline Vec load(const Weight* line, int n) {
    const auto* from = reinterpret_cast<const __m256i*>(line + n / 2 * (2 * Vec::width));
    const __m256i both = _mm256_loadu_si256(from);
    const __m256i raise = _mm256_broadcastsi128_si256(_mm_setr_epi32(0x01008080, 0x05048080, 0x09088080, 0x0D0C8080));
    const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xFFFF0000U));
    return {_mm256_castsi256_ps(n % 2 == 0 ? _mm256_shuffle_epi8(both, raise) : _mm256_and_si256(both, upper))};
  }

  using Float::store;
  // Rounded to the nearest, ties to even. Weights are finite (weights.cpp).
  static inline void store(Vec v, Weight* p, int lanes) {
    std::uint32_t bits[Vec::width];
    __builtin_memcpy(bits, &v, sizeof bits);
    for (int i = 0; i < lanes; ++i) p[i] = static_cast<Weight>((bits[i] + 0x7FFFU + (bits[i] >> 16 & 1U)) >> 16);
  }
};

static bool supported() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

template <class D>
using Tiled = generic::Tiled<D, 6, 2>;

// As many sums as in float32 (avx2.cpp), so that neither has to wait: the masks stay in memory.
const Kernels kernels =
    generic::Table<Tiled<Bf16Weights>, generic::Direct<Tiled<Bf16Weights>>, Tiled<generic::Float32<Vec>>>::make(
        "avx2_bf16", Precision::bf16, supported);

}  // namespace crumb::avx2_bf16
