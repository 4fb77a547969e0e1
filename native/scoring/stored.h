// How a form of the corpus lies in a row: what the vocabularies' forms have in common.
//
// Templates over the vocabulary V, or the linker could choose another instruction set's copy.
#pragma once

#include <cstddef>

namespace crumb::scoring {

// Elements of `size` bytes, whole floats or what becomes one.
template <class V, int size>
struct Elements {
  static constexpr bool is_float = size == 4;
  static constexpr int per_byte = 1;
  static constexpr std::ptrdiff_t offset(int at) { return static_cast<std::ptrdiff_t>(at) * size; }
};

// Eight elements a byte.
template <class V>
struct PackedBits {
  static constexpr bool is_float = false;
  static constexpr int per_byte = 8;
  static constexpr std::ptrdiff_t offset(int at) { return at / 8; }
};

}  // namespace crumb::scoring
