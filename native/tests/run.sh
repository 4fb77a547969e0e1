#!/usr/bin/env bash
# Builds and runs the engine's own test without Python.
#   run.sh sanitize   with AddressSanitizer and UndefinedBehaviorSanitizer, for this machine
#   run.sh thread     with ThreadSanitizer, for this machine
#   run.sh aarch64    cross-compiled with NEON and run under qemu (Debian: g++-aarch64-linux-gnu, qemu-user)
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
mode=${1:-sanitize}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
common=(-std=c++20 -O2 -g -ffp-contract=off -fno-math-errno -Wall -Wextra -Wconversion -Wno-psabi -pthread)
cxx=${CXX:-c++}
run=()
models=20
case "$mode" in
  # -O1 compiles in half the time; GCC 12 warns of its own AVX-512 headers under sanitizers
  sanitize) extra=(-O1 -Wno-uninitialized -Wno-maybe-uninitialized -fsanitize=address,undefined -fno-sanitize-recover=all) ;;
  thread) extra=(-O1 -Wno-uninitialized -Wno-maybe-uninitialized -fsanitize=thread) models=15 ;;
  aarch64) cxx=aarch64-linux-gnu-g++ extra=(-static) run=(qemu-aarch64) models=15 ;;
  *) echo "unknown mode '$mode'; see the head of $0" >&2; exit 2 ;;
esac
case "$("$cxx" -dumpmachine)" in
  x86_64*) define=-DCRUMB_X86 kernels=(portable avx2 avx512 avx512_bf16) ;;
  aarch64* | arm64*) define=-DCRUMB_ARM64 kernels=(portable neon) ;;
  *) define=-DCRUMB_OTHER kernels=(portable) ;;
esac
flags_of() {
  case "$1" in
    avx2) echo "-mavx2 -mfma" ;;
    avx512) echo "-mavx512f" ;;
    avx512_bf16) echo "-mavx512f -mavx512bw -mavx512vl -mavx512bf16" ;;
  esac
}
for kernel in "${kernels[@]}"; do
  # shellcheck disable=SC2046  # the flags are several words
  "$cxx" "${common[@]}" "${extra[@]}" $(flags_of "$kernel") -c "$here/kernels/$kernel.cpp" -o "$out/$kernel.o" &
done
for source in encoder forward kernels/dispatch pooling team weights tests/engine_test; do
  "$cxx" "${common[@]}" "${extra[@]}" "$define" -c "$here/$source.cpp" -o "$out/$(basename "$source").o" &
done
wait
"$cxx" "${common[@]}" "${extra[@]}" "$out"/*.o -o "$out/engine_test"
"${run[@]}" "$out/engine_test" "$models"
