// NEON with bfloat16 (Armv8.6 BF16): pairs of bfloat16 summed in float32 by BFDOT.
#include "generic/table.h"
#include "hwcap_arm64.h"
#include "vec_neon.h"

namespace crumb::neon_bf16 {

extern const Kernels kernels;

struct Bf16 {
  using Vec = neon::Vec;
  using Sum = Vec;
  using Row = std::uint16_t;
  using Weight = std::uint16_t;
  using Element = std::uint16_t;
  static constexpr int depth = 2;
  static constexpr int exp_degree = 3;
  static constexpr bool exact_gelu = false;
  static inline Vec zero() { return Vec::set1(0.0F); }
  static inline bfloat16x8_t load(const Element* p) { return vreinterpretq_bf16_u16(vld1q_u16(p)); }
  static inline bfloat16x8_t broadcast(const Element* p) {
    std::uint32_t pair;
    __builtin_memcpy(&pair, p, sizeof pair);
    return vreinterpretq_bf16_u32(vdupq_n_u32(pair));
  }
  static inline Vec dot(Vec sum, bfloat16x8_t a, bfloat16x8_t b) { return {vbfdotq_f32(sum.v, a, b)}; }
  static inline Vec read(const Element* p, int lanes) {
    Element four[4] = {0, 0, 0, 0};
    __builtin_memcpy(four, p, sizeof(Element) * static_cast<unsigned>(lanes));
    return {vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(four)), 16))};
  }
  static inline void store(Vec v, Element* p, int lanes) {
    Element four[4];
    vst1_u16(four, vreinterpret_u16_bf16(vcvt_bf16_f32(v.v)));
    __builtin_memcpy(p, four, sizeof(Element) * static_cast<unsigned>(lanes));
  }
};

static bool supported() {
  return arm64::has_bf16();
}

const Kernels kernels = generic::DirectTable<generic::Tiled<Bf16, 6, 4>>::make("neon_bf16", Precision::bf16, supported);

}  // namespace crumb::neon_bf16
