// Memory aligned to cache lines, freed with its owner. Left uninitialised: whoever takes it writes before reading.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace crumb {

struct AlignedFree {
  void operator()(void* p) const noexcept { ::operator delete(p, std::align_val_t{64}); }
};

template <class T>
using Buffer = std::unique_ptr<T[], AlignedFree>;

template <class T>
Buffer<T> make_buffer(std::size_t count) {
  return Buffer<T>(static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{64})));
}

}  // namespace crumb
