// AVX-512 with the bfloat16 dot product: pairs of bfloat16 summed in float32, at twice the rate of float32 on AMD,
// at half of it on Intel (dispatch.cpp).
#include "bf16_avx512.h"
#include "generic/table.h"

namespace crumb::avx512_bf16 {

extern const Kernels kernels;

static bool supported() {
  return avx512::has_base() && __builtin_cpu_supports("avx512bf16");
}

// 12 x 2 sums, 2 weights and a broadcast fit the 32 registers.
const Kernels kernels =
    generic::DirectTable<generic::Tiled<avx512::Bf16, 12, 2>>::make("avx512_bf16", Precision::bf16, supported);

}  // namespace crumb::avx512_bf16
