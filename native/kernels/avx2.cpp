// AVX2 and FMA, float32. Compiled with -mavx2 -mfma; runs only where CPUID says so.
#include "float32_avx2.h"
#include "generic/table.h"

template struct crumb::generic::Attention<crumb::avx2::Float32Product>;

namespace crumb::avx2 {

extern const Kernels kernels;

static bool supported() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const Kernels kernels = generic::DirectTable<Float32Product>::make("avx2", Precision::float32, supported);

}  // namespace crumb::avx2
