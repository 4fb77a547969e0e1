// The product of float32 on AVX2, and attention over it, which takes longer to compile than all else: once, in avx2.cpp.
#pragma once

#include "generic/attention.h"
#include "vec_avx2.h"

namespace crumb {
namespace avx2 {

// 6 x 2 sums, 2 weights and a broadcast fit the 16 registers.
using Float32Product = generic::Tiled<generic::Float32<Vec>, 6, 2>;

}  // namespace avx2

extern template struct generic::Attention<avx2::Float32Product>;

}  // namespace crumb
