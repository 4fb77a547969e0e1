// Bytes without any instruction set: the reference of the other int8 kernels.
#include "generic/table.h"
#include "vec_portable.h"

namespace crumb::portable_int8 {

extern const Kernels kernels;

using portable::Vec;

struct Int8 {
  using Vec = portable::Vec;
  using Sum = Vec::Ints;
  using Row = std::uint8_t;
  using Weight = std::int8_t;
  static constexpr int depth = 1;
  static constexpr int offset = 0;
  static constexpr int pair_limit = 0;
  static constexpr bool exact_gelu = false;
  static inline Sum zero() { return Sum{0, 0, 0, 0}; }
  static inline Sum load(const std::int8_t* p) { return Sum{p[0], p[1], p[2], p[3]}; }
  static inline Sum broadcast(const std::uint8_t* p) { return Sum{*p, *p, *p, *p}; }
  static inline Sum dot(Sum sum, Sum a, Sum b) { return sum + a * b; }
  static inline Vec to_float(Sum sum) { return {__builtin_convertvector(sum, Vec::Lanes)}; }
  static inline void store_bytes(Vec v, std::uint8_t* p) { portable::store_bytes(v, p); }
};

static bool supported() {
  return true;
}

const Kernels kernels =
    generic::QuantizedTable<generic::Tiled<Int8, 4, 2>, generic::Tiled<generic::Float32<Vec>, 4, 2>>::make(
        "portable_int8", Precision::int8, supported);

}  // namespace crumb::portable_int8
