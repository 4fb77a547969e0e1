// The scans in NEON.
#include "generic.h"
#include "vec_neon.h"

namespace crumb::scoring::neon {

extern const Table table;

static bool supported() { return true; }

const Table table = generic::make<Scan>("neon", supported);

}  // namespace crumb::scoring::neon
