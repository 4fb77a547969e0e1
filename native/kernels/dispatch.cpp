// Which kernels there are, best first, and the choice among them. CRUMB_ISA is read by the Python face, not here.
#include <stdexcept>
#include <string>

#include "table.h"

namespace crumb {

#if defined(CRUMB_X86)
namespace avx512 {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
#endif
#if defined(CRUMB_ARM64)
namespace neon {
extern const Kernels kernels;
}
#endif
namespace portable {
extern const Kernels kernels;
}

const Kernels* const* all_kernels() {
  static const Kernels* const list[] = {
#if defined(CRUMB_X86)
      &avx512::kernels, &avx2::kernels,
#endif
#if defined(CRUMB_ARM64)
      &neon::kernels,
#endif
      &portable::kernels, nullptr};
  return list;
}

const Kernels& select_kernels(const char* name) {
  const std::string wanted = name == nullptr ? "" : name;
  std::string runnable;
  for (const Kernels* const* at = all_kernels(); *at != nullptr; ++at) {
    const bool runs = (*at)->supported();
    if (runs && (wanted.empty() || wanted == (*at)->name)) return **at;
    if (!runs && wanted == (*at)->name) {
      throw std::invalid_argument("the kernels '" + wanted + "' need instructions that this CPU does not have");
    }
    if (runs) runnable += (runnable.empty() ? "" : ", ") + std::string((*at)->name);
  }
  throw std::invalid_argument("unknown kernels '" + wanted + "'; this CPU runs: " + runnable);
}

}  // namespace crumb
