// AVX-512 with VNNI: bytes, four times the rate of float32. Attention in float32, for CPUs without bfloat16.
#include "generic/table.h"
#include "int8_avx512.h"

namespace crumb::avx512_vnni {

extern const Kernels kernels;

static bool supported() {
  return avx512::has_base() && __builtin_cpu_supports("avx512vnni");
}

template <class D>
using Tiled = generic::Tiled<D, 12, 2>;

const Kernels kernels = generic::QuantizedTable<Tiled<avx512::Int8>, Tiled<generic::Float32<avx512::Vec>>, Tiled<avx512::Int8Scores>>::make(
    "avx512_vnni", Precision::int8, supported);

}  // namespace crumb::avx512_vnni
