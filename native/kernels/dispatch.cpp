// Which kernels there are, fastest first, and the choice among them. CRUMB_ISA is read by the Python face, not here.
#include <stdexcept>
#include <string>
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
namespace avx512_bf16_weights {
extern const Kernels kernels;
}
namespace avx512_int8 {
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
  // (Sapphire Rapids and later, measured: 1.4 against 5.6 G/s): there float32 is the faster one, and so are weights alone of
  // bfloat16. AMX is not concerned. Where there is AVX2 alone, weights of bfloat16 cost a product nothing and are read in half
  // the time.
  __builtin_cpu_init();
  list = {&amx_int8::kernels, &amx_bf16::kernels};
  if (__builtin_cpu_is("intel")) {
    list.insert(list.end(), {&avx512_vnni::kernels, &avx512_vnni_bf16::kernels, &avx512::kernels,
                             &avx512_bf16_weights::kernels, &avx512_bf16::kernels});
  } else {
    list.insert(list.end(), {&avx512_vnni_bf16::kernels, &avx512_vnni::kernels, &avx512_bf16::kernels, &avx512::kernels,
                             &avx512_bf16_weights::kernels});
  }
  list.insert(list.end(), {&avx512_int8::kernels, &avx_vnni::kernels, &avx2_int8::kernels, &avx2_bf16::kernels,
                           &avx2::kernels});
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
