#!/usr/bin/env bash
# Builds and runs the engine's, the scans' and the tokenizer's own tests without Python.
#   run.sh sanitize   with AddressSanitizer and UndefinedBehaviorSanitizer, for this machine
#   run.sh thread     with ThreadSanitizer, for this machine
#   run.sh fuzz       ragged offsets and ids under libFuzzer for a minute, or as its arguments say (Debian: clang)
#   run.sh rates      no test: prints how near each kernel comes to the peak of its instruction (docs/performance.md)
#   run.sh aarch64    cross-compiled with NEON and run under qemu (Debian: g++-aarch64-linux-gnu, qemu-user)
#   run.sh static DIR only builds them, as they are shipped and without shared libraries, for emulate.sh
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
mode=${1:-sanitize}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
common=(-std=c++20 -O2 -g -ffp-contract=off -fno-math-errno -Wall -Wextra -Wconversion -Wno-psabi -pthread)
cxx=${CXX:-c++}
run=()
models=20
programs=(engine_test)
amx=-DCRUMB_AMX_EMULATED # no machine at hand need have AMX: its instructions are done in C++ then, all around them is real
link=()
arguments=()
case "$mode" in
  # -O1 compiles in half the time; GCC 12 warns of its own AVX-512 headers under sanitizers
  sanitize) extra=(-O1 -Wno-uninitialized -Wno-maybe-uninitialized -fsanitize=address,undefined -fno-sanitize-recover=all) ;;
  thread) extra=(-O1 -Wno-uninitialized -Wno-maybe-uninitialized -fsanitize=thread) models=15 ;;
  fuzz)
    cxx=clang++ extra=(-O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all) programs=(ragged_fuzz)
    models='' link=(-fsanitize=fuzzer) arguments=(-max_total_time=60 -max_len=4096 -print_final_stats=1) ;;
  rates) extra=(-O3 -Wno-uninitialized -Wno-maybe-uninitialized) models='' programs=(kernel_rates) ;;
  aarch64) cxx=aarch64-linux-gnu-g++ extra=(-static) run=(qemu-aarch64) models=15 ;;
  static) extra=(-O3 -static) amx='' programs=(engine_test real_texts) ;;
  *) echo "unknown mode '$mode'; see the head of $0" >&2; exit 2 ;;
esac
case "$("$cxx" -dumpmachine)" in
  x86_64*) define=-DCRUMB_X86 kernels=(amx_bf16 amx_int8 avx2 avx2_bf16 avx2_int8 avx_vnni avx512 avx512_bf16 avx512_bf16_weights
    avx512_int8 avx512_vnni avx512_vnni_bf16) ;;
  aarch64* | arm64*) define=-DCRUMB_ARM64 kernels=(neon neon_bf16 neon_dot) ;;
  *) define=-DCRUMB_OTHER kernels=() ;;
esac
flags_of() {
  case "$1" in
    avx2 | avx2_bf16 | avx2_int8) echo "-mavx2 -mfma" ;;
    avx_vnni) echo "-mavx2 -mfma -mavxvnni" ;;
    avx512 | avx512_bf16_weights) echo "-mavx512f -mavx512dq" ;;
    avx512_int8) echo "-mavx512f -mavx512dq -mavx512bw -mavx512vl" ;;
    avx512_bf16) echo "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx512bf16" ;;
    avx512_vnni) echo "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx512vnni" ;;
    amx_bf16 | amx_int8)
      echo "$amx -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx512vnni -mavx512bf16" ;;
    avx512_vnni_bf16) echo "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx512vnni -mavx512bf16" ;;
    scan_avx2) echo "-mavx2 -mfma -mf16c" ;;
    scan_avx512) echo "-mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx512vnni -mavx512vpopcntdq" ;;
    neon_bf16) echo "-march=armv8.2-a+bf16" ;;
    neon_dot) echo "-march=armv8.2-a+dotprod" ;;
  esac
}
mkdir "$out/engine" "$out/programs"
for kernel in portable portable_int8 "${kernels[@]}"; do
  # shellcheck disable=SC2046  # the flags are several words
  "$cxx" "${common[@]}" "${extra[@]}" $(flags_of "$kernel") -c "$here/kernels/$kernel.cpp" -o "$out/engine/$kernel.o" &
done
for source in encoder forward kernels/dispatch outliers pooling team weights; do
  "$cxx" "${common[@]}" "${extra[@]}" "$define" -c "$here/$source.cpp" -o "$out/engine/_$(basename "$source").o" &
done
for program in "${programs[@]}"; do
  "$cxx" "${common[@]}" "${extra[@]}" "$define" -c "$here/tests/$program.cpp" -o "$out/programs/$program.o" &
done
wait
for program in "${programs[@]}"; do
  "$cxx" "${common[@]}" "${extra[@]}" "${link[@]}" "$out"/engine/*.o "$out/programs/$program.o" -o "$out/$program"
done
if [[ ${programs[0]} == engine_test ]]; then
  "$cxx" "${common[@]}" "${extra[@]}" "$here"/text/*.cpp "$here/team.cpp" "$here/tests/wordpiece_test.cpp" -o "$out/wordpiece_test"
  case "$define" in
    -DCRUMB_X86) scans=(avx2 avx512) ;;
    -DCRUMB_ARM64) scans=(neon) ;;
    *) scans=() ;;
  esac
  mkdir "$out/scans"
  for scan in portable "${scans[@]}"; do
    # shellcheck disable=SC2046
    "$cxx" "${common[@]}" "${extra[@]}" $(flags_of "scan_$scan") -c "$here/scoring/$scan.cpp" -o "$out/scans/$scan.o" &
  done
  for source in scoring/dispatch scoring/scan team tests/scan_test; do
    "$cxx" "${common[@]}" "${extra[@]}" "$define" -c "$here/$source.cpp" -o "$out/scans/_$(basename "$source").o" &
  done
  wait
  "$cxx" "${common[@]}" "${extra[@]}" "$out"/scans/*.o -o "$out/scan_test"
fi
if [[ $mode == static ]]; then
  mv "$out"/{engine_test,real_texts,scan_test,wordpiece_test} "${2:?the folder to put the programs in}"
  exit
fi
if [[ ${programs[0]} == engine_test ]]; then
  "${run[@]}" "$out/wordpiece_test"
  "${run[@]}" "$out/scan_test" "$models"
fi
# shellcheck disable=SC2086  # no argument where there is none
"${run[@]}" "$out/${programs[0]}" $models "${arguments[@]}" "${@:2}"
