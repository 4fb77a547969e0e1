// AVX-512 with VNNI and bfloat16: bytes in the linear layers, bfloat16 in attention and between the steps.
#include "bf16_avx512.h"
#include "generic/table.h"
#include "int8_avx512.h"

namespace crumb::avx512_vnni_bf16 {

extern const Kernels kernels;

static bool supported() {
  return avx512::has_base() && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
}

template <class D>
using Tiled = generic::Tiled<D, 12, 2>;

const Kernels kernels = generic::QuantizedTable<Tiled<avx512::Int8>, Tiled<avx512::Bf16>, Tiled<avx512::Int8Scores>>::make(
    "avx512_vnni_bf16", Precision::int8, supported);

}  // namespace crumb::avx512_vnni_bf16
