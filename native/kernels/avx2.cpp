// AVX2 and FMA, float32. Compiled with -mavx2 -mfma; runs only where CPUID says so.
#include "generic/table.h"
#include "vec_avx2.h"

namespace crumb::avx2 {

extern const Kernels kernels;

static bool supported() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

// 6 x 2 sums, 2 weights and a broadcast fit the 16 registers.
const Kernels kernels = generic::DirectTable<generic::Tiled<generic::Float32<Vec>, 6, 2>>::make("avx2", Precision::float32, supported);

}  // namespace crumb::avx2
