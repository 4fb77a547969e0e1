// AVX-VNNI: bytes by VPDPBUSD in 256-bit registers, for CPUs without AVX-512.
#include <cpuid.h>

#include "float32_avx2.h"
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
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return false;
  // not all compilers that build this know the name "avxvnni": leaf 7, subleaf 1, EAX bit 4
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1U) != 0;
}

// 6 x 2 sums, 2 weights and a broadcast fit the 16 registers.
const Kernels kernels =
    generic::QuantizedTable<generic::Tiled<Int8, 6, 2>, avx2::Float32Product>::make(
        "avx_vnni", Precision::int8, supported);

}  // namespace crumb::avx_vnni
