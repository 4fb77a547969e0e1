// AMX with bytes in the linear layers and bfloat16 in attention and between the steps.
#include "amx.h"
#include "bf16_avx512.h"
#include "generic/table.h"
#include "int8_avx512.h"

namespace crumb::amx_int8 {

extern const Kernels kernels;

struct Bf16 : avx512::Bf16 {
  template <int c, int a, int b>
  static inline void tiles() {
    amx::dot_bf16<c, a, b>();
  }
};

struct Int8 : avx512::Int8 {
  template <int c, int a, int b>
  static inline void tiles() {
    amx::dot_int8<c, a, b>();
  }
};

static bool supported() {
  return amx::supported(1U << 22 | 1U << 25);
}

const Kernels kernels =
    generic::QuantizedTable<amx::Product<Int8>, amx::Product<Bf16>>::make("amx_int8", Precision::int8, supported);

}  // namespace crumb::amx_int8
