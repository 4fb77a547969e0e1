// NEON, float32: part of every AArch64.
#include "generic/table.h"
#include "vec_neon.h"

namespace crumb::neon {

extern const Kernels kernels;

static bool supported() {
  return true;
}

// 6 x 4 sums, 4 weights and a broadcast fit the 32 registers.
const Kernels kernels = generic::DirectTable<generic::Tiled<generic::Float32<Vec>, 6, 4>>::make("neon", Precision::float32, supported);

}  // namespace crumb::neon
