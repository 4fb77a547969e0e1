// AVX-VNNI: bytes by VPDPBUSD in 256-bit registers, for CPUs without AVX-512.
#include "generic/table.h"
#include "int8_avx2.h"

namespace crumb::avx_vnni {

extern const Kernels kernels;

struct Int8 : avx2::Int8 {
  static constexpr int pair_limit = 0;
  // As in int8_avx512.h, not the intrinsic
  static inline __m256i dot(__m256i sum, __m256i a, __m256i b) {
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
    return sum;
  }
};

static bool supported() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avxvnni");
}

// 6 x 2 sums, 2 weights and a broadcast fit the 16 registers.
const Kernels kernels =
    generic::QuantizedTable<generic::Tiled<Int8, 6, 2>, generic::Tiled<generic::Float32<avx2::Vec>, 6, 2>>::make(
        "avx_vnni", Precision::int8, supported);

}  // namespace crumb::avx_vnni
