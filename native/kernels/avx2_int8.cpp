// AVX2: bytes by VPMADDUBSW, whose 16-bit sums of two products saturate. Weights are scaled so that none can: 255 (|w0| + |w1|)
// stays below 2^15.
#include "float32_avx2.h"
#include "generic/table.h"
#include "int8_avx2.h"

namespace crumb::avx2_int8 {

extern const Kernels kernels;

struct Int8 : avx2::Int8 {
  static constexpr int pair_limit = 128;
  static inline __m256i dot(__m256i sum, __m256i a, __m256i b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)));
  }
};

static bool supported() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

// 5 x 2 sums, 2 weights, a broadcast, a product and the ones fit the 16 registers.
const Kernels kernels =
    generic::QuantizedTable<generic::Tiled<Int8, 5, 2>, avx2::Float32Product>::make(
        "avx2_int8", Precision::int8, supported);

}  // namespace crumb::avx2_int8
