// No instruction set assumed: the reference on every machine, and the fallback of the oldest.
#include "generic/table.h"
#include "vec_portable.h"

namespace crumb::portable {

extern const Kernels kernels;

static bool supported() {
  return true;
}

// 4 x 2 sums and 2 weights fit the 16 registers of the x86-64 baseline.
const Kernels kernels = generic::DirectTable<generic::Tiled<generic::Float32<Vec>, 4, 2>>::make("portable", Precision::float32, supported);

}  // namespace crumb::portable
