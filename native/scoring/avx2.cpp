// The scans in AVX2. Compiled with -mavx2 -mfma -mf16c; runs only where CPUID says so.
#include <cpuid.h>

#include "generic.h"
#include "lookup_avx2.h"
#include "vec_avx2.h"

namespace crumb::scoring::avx2 {

extern const Table table;

// Older compilers do not know "f16c" by name; whether the system keeps the registers is part of the answer for "avx2"
static bool has_f16c() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

static bool supported() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static constexpr Table with_lookup() {
  Table table = generic::without_bits<Scan>("avx2", supported);
  table.bit_distances = bit_distances;
  table.table_words = table_words;
  table.tabulate = tabulate;
  return table;
}

const Table table = with_lookup();

}  // namespace crumb::scoring::avx2
