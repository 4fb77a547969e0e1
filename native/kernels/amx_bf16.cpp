// AMX with bfloat16: the avx512_bf16 kernels, but for their product.
#include "amx.h"
#include "bf16_avx512.h"
#include "generic/table.h"

namespace crumb::amx_bf16 {

extern const Kernels kernels;

struct Bf16 : avx512::Bf16 {
  template <int c, int a, int b>
  static inline void tiles() {
    amx::dot_bf16<c, a, b>();
  }
};

static bool supported() {
  return amx::supported(1U << 22);
}

const Kernels kernels = generic::DirectTable<amx::Product<Bf16>>::make("amx_bf16", Precision::bf16, supported);

}  // namespace crumb::amx_bf16
