// What an AArch64 CPU says it has.
#pragma once

#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace crumb::arm64 {

#if defined(__linux__)
// The bits of the kernel's ABI (asm/hwcap.h), by value: older headers lack the names.
static inline bool has_dot_product() { return (getauxval(AT_HWCAP) & (1UL << 20)) != 0; }
static inline bool has_bf16() { return (getauxval(AT_HWCAP2) & (1UL << 14)) != 0; }
#elif defined(__APPLE__)
static inline bool has(const char* feature) {
  int value = 0;
  unsigned long size = sizeof value;
  return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
}
static inline bool has_dot_product() { return has("hw.optional.arm.FEAT_DotProd"); }
static inline bool has_bf16() { return has("hw.optional.arm.FEAT_BF16"); }
#else
static inline bool has_dot_product() { return false; }
static inline bool has_bf16() { return false; }
#endif

}  // namespace crumb::arm64
