// The scans in plain C++, for every machine.
#include "generic.h"
#include "vec_portable.h"

namespace crumb::scoring::portable {

extern const Table table;

static bool supported() { return true; }

const Table table = generic::make<Scan>("portable", supported);

}  // namespace crumb::scoring::portable
