// Which tables there are, fastest first, and the choice among them.
#include <stdexcept>
#include <string>

#include "table.h"

namespace crumb::scoring {

#if defined(CRUMB_X86)
namespace avx512 {
extern const Table table;
}
namespace avx2 {
extern const Table table;
}
#endif
#if defined(CRUMB_ARM64)
namespace neon {
extern const Table table;
}
#endif
namespace portable {
extern const Table table;
}

const Table* const* all_tables() {
  static const Table* const list[] = {
#if defined(CRUMB_X86)
      &avx512::table, &avx2::table,
#endif
#if defined(CRUMB_ARM64)
      &neon::table,
#endif
      &portable::table, nullptr};
  return list;
}

const Table& select_table(const char* name) {
  const std::string wanted = name;
  std::string runnable;
  for (const Table* const* at = all_tables(); *at != nullptr; ++at) {
    const bool runs = (*at)->supported();
    if (runs && (wanted.empty() || wanted == (*at)->name)) return **at;
    if (wanted == (*at)->name) {
      throw std::invalid_argument("the scans '" + wanted + "' need instructions that this CPU does not have");
    }
    if (runs) runnable += (runnable.empty() ? "" : ", ") + std::string((*at)->name);
  }
  throw std::invalid_argument("unknown scans '" + wanted + "'; this CPU runs: " + runnable);
}

}  // namespace crumb::scoring
