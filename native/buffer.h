// Memory aligned to cache lines, freed with its owner. Left uninitialised: whoever takes it writes before reading.
//
// Large buffers come from the system and go back to it. malloc would keep them for each thread that ever had one (glibc raises its
// own bound with every large block that is freed), and a server that once read long texts in many threads would never shrink.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#define CRUMB_MAPS 1
#endif

namespace crumb {

constexpr std::size_t kMapFrom = std::size_t{4} << 20;  // bytes; below, a page's first touch would cost more than it saves

struct AlignedFree {
  std::size_t mapped = 0;  // bytes that came from the system itself
  void operator()(void* p) const noexcept {
#if defined(CRUMB_MAPS)
    if (mapped != 0) {
      ::munmap(p, mapped);
      return;
    }
#endif
    ::operator delete(p, std::align_val_t{64});
  }
};

template <class T>
using Buffer = std::unique_ptr<T[], AlignedFree>;

template <class T>
Buffer<T> make_buffer(std::size_t count) {
  const std::size_t bytes = count * sizeof(T);
#if defined(CRUMB_MAPS)
  if (bytes >= kMapFrom) {
    void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    return Buffer<T>(static_cast<T*>(p), AlignedFree{bytes});
  }
#endif
  return Buffer<T>(static_cast<T*>(::operator new(bytes, std::align_val_t{64})));
}

}  // namespace crumb
