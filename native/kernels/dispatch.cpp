// Which kernels there are, fastest first, and the choice among them. CRUMB_ISA is read by the Python face, not here.
#include <array>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "table.h"

namespace crumb {

#if defined(CRUMB_X86)
namespace amx_bf16 {
extern const Kernels kernels;
}
namespace amx_int8 {
extern const Kernels kernels;
}
namespace avx512_bf16 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
namespace avx512_vnni_bf16 {
extern const Kernels kernels;
}
namespace avx512_vnni {
extern const Kernels kernels;
}
namespace avx_vnni {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx2_bf16 {
extern const Kernels kernels;
}
namespace avx2_int8 {
extern const Kernels kernels;
}
#endif
#if defined(CRUMB_ARM64)
namespace neon_bf16 {
extern const Kernels kernels;
}
namespace neon {
extern const Kernels kernels;
}
namespace neon_dot {
extern const Kernels kernels;
}
#endif
namespace portable {
extern const Kernels kernels;
}
namespace portable_int8 {
extern const Kernels kernels;
}

namespace {

std::vector<const Kernels*> fastest_first() {
  std::vector<const Kernels*> list;
#if defined(CRUMB_X86)
  // VDPBF16PS multiplies twice what an FMA does in float32, at the same rate on AMD (Zen 4) but at a quarter of it on Intel
  // (Sapphire Rapids and later, measured: 1.4 against 5.6 G/s): there float32 is the faster one. AMX is not concerned.
  // Where there is AVX2 alone, weights of bfloat16 cost a product nothing and are read in half the time.
  std::array floats = {&avx512_bf16::kernels, &avx512::kernels};
  std::array bytes = {&avx512_vnni_bf16::kernels, &avx512_vnni::kernels};
  __builtin_cpu_init();
  if (__builtin_cpu_is("intel")) {
    std::swap(floats[0], floats[1]);
    std::swap(bytes[0], bytes[1]);
  }
  list = {&amx_int8::kernels, &amx_bf16::kernels, bytes[0],            bytes[1],            floats[0],
          floats[1],          &avx_vnni::kernels, &avx2_int8::kernels, &avx2_bf16::kernels, &avx2::kernels};
#endif
#if defined(CRUMB_ARM64)
  list = {&neon_dot::kernels, &neon_bf16::kernels, &neon::kernels};
#endif
  // without instructions of its own int8 is no faster
  list.insert(list.end(), {&portable::kernels, &portable_int8::kernels, nullptr});
  return list;
}

}  // namespace

const Kernels* const* all_kernels() {
  static const std::vector<const Kernels*> list = fastest_first();
  return list.data();
}

const char* precision_name(Precision precision) {
  return precision == Precision::float32 ? "float32" : precision == Precision::bf16 ? "bf16" : "int8";
}

const Kernels& select_kernels(const char* name, Precision precision, int sizes) {
  const std::string wanted = name == nullptr ? "" : name;
  std::string runnable;
  for (const Kernels* const* at = all_kernels(); *at != nullptr; ++at) {
    const bool runs = (*at)->supported();
    if (wanted == (*at)->name) {
      if (!runs) {
        throw std::invalid_argument("the kernels '" + wanted + "' need instructions that this CPU does not have");
      }
      if ((*at)->precision != precision) {
        throw std::invalid_argument("the kernels '" + wanted + "' compute in " + precision_name((*at)->precision) + ", not " +
                                    precision_name(precision));
      }
    }
    if (!runs || (*at)->precision != precision) continue;
    if (wanted == (*at)->name || (wanted.empty() && sizes % (*at)->size_multiple == 0)) return **at;
    runnable += (runnable.empty() ? "" : ", ") + std::string((*at)->name);
  }
  const std::string known = runnable.empty() ? "none" : runnable;
  if (wanted.empty()) {
    throw std::invalid_argument(std::string("this CPU has no kernels for precision '") + precision_name(precision) + "'");
  }
  throw std::invalid_argument("unknown kernels '" + wanted + "'; in " + precision_name(precision) + " this CPU runs: " + known);
}

}  // namespace crumb
