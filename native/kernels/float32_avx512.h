// The product of float32 on AVX-512, and attention over it, which takes longer to compile than all else: once, in avx512.cpp.
#pragma once

#include "generic/attention.h"
#include "vec_avx512.h"

namespace crumb {
namespace avx512 {

// 12 x 2 sums, 2 weights and a broadcast fit the 32 registers.
using Float32Product = generic::Tiled<generic::Float32<Vec>, 12, 2>;

}  // namespace avx512

extern template struct generic::Attention<avx512::Float32Product>;

}  // namespace crumb
