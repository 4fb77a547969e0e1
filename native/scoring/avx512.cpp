// The scans in AVX-512 with VNNI and VPOPCNTDQ. Compiled with these flags; runs only where CPUID says so.
#include "generic.h"
#include "vec_avx512.h"

namespace crumb::scoring::avx512 {

extern const Table table;

static bool supported() {
  return crumb::avx512::has_base() && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vpopcntdq");
}

const Table table = generic::make<Scan>("avx512", supported);

}  // namespace crumb::scoring::avx512
