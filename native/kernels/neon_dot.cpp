// NEON with the dot product (Armv8.2 DotProd): signed bytes summed in int32. Attention in float32.
#include "generic/table.h"
#include "hwcap_arm64.h"
#include "vec_neon.h"

namespace crumb::neon_dot {

extern const Kernels kernels;

struct Int8 {
  using Vec = neon::Vec;
  using Sum = int32x4_t;
  using Row = std::uint8_t;  // less `offset`, so that they are signed
  using Weight = std::int8_t;
  static constexpr int depth = 4;
  static constexpr int offset = 128;
  static constexpr int pair_limit = 0;
  static constexpr bool exact_gelu = false;
  static inline Sum zero() { return vdupq_n_s32(0); }
  static inline int8x16_t load(const std::int8_t* p) { return vld1q_s8(p); }
  static inline int8x16_t broadcast(const std::uint8_t* p) {
    std::int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
  }
  static inline Sum dot(Sum sum, int8x16_t a, int8x16_t b) { return vdotq_s32(sum, a, b); }
  static inline Vec to_float(Sum sum) { return {vcvtq_f32_s32(sum)}; }
  static inline void store_bytes(Vec v, std::uint8_t* p) {
    std::uint32_t four;
    neon::store_bytes(v, p);
    __builtin_memcpy(&four, p, sizeof four);
    four ^= 0x80808080U;
    __builtin_memcpy(p, &four, sizeof four);
  }
};

static bool supported() {
  return arm64::has_dot_product();
}

const Kernels kernels =
    generic::QuantizedTable<generic::Tiled<Int8, 6, 4>, generic::Tiled<generic::Float32<neon::Vec>, 6, 4>>::make(
        "neon_dot", Precision::int8, supported);

}  // namespace crumb::neon_dot
