// AVX-512 without VNNI: bytes by VPMADDUBSW, as in avx2_int8.cpp and with its limit on weights.
#include "float32_avx512.h"
#include "generic/table.h"
#include "int8_avx512.h"

namespace crumb::avx512_int8 {

extern const Kernels kernels;

struct Int8 : avx512::Bytes {
  static constexpr int pair_limit = 128;
  static inline __m512i dot(__m512i sum, __m512i a, __m512i b) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1)));
  }
};

// 12 x 2 sums, 2 weights, a broadcast, a product and the ones fit the 32 registers.
const Kernels kernels = generic::QuantizedTable<generic::Tiled<Int8, 12, 2>, avx512::Float32Product>::make(
    "avx512_int8", Precision::int8, avx512::has_base);

}  // namespace crumb::avx512_int8
