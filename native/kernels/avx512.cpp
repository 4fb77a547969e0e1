// AVX-512F, float32. Compiled with -mavx512f -mavx512dq; runs only where CPUID and the operating system say so.
#include "generic/table.h"
#include "vec_avx512.h"

namespace crumb::avx512 {

extern const Kernels kernels;

static bool supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
}

// 12 x 2 sums, 2 weights and a broadcast fit the 32 registers.
const Kernels kernels = generic::DirectTable<generic::Tiled<generic::Float32<Vec>, 12, 2>>::make("avx512", Precision::float32, supported);

}  // namespace crumb::avx512
