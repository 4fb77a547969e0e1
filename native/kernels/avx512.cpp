// AVX-512F, float32. Compiled with -mavx512f -mavx512dq; runs only where CPUID and the operating system say so.
#include "float32_avx512.h"
#include "generic/table.h"

template struct crumb::generic::Attention<crumb::avx512::Float32Product>;

namespace crumb::avx512 {

extern const Kernels kernels;

static bool supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
}

const Kernels kernels = generic::DirectTable<Float32Product>::make("avx512", Precision::float32, supported);

}  // namespace crumb::avx512
