// Hides instruction sets from a process: LD_PRELOAD this, with HELD_ISA=avx2 or avx512.
//
// Linux can make the CPUID instruction fault (arch_prctl ARCH_SET_CPUID, where the CPU supports it). The handler runs it
// once more, takes the bits of newer instruction sets out of the answer, and steps over it. So every library in the
// process, whatever its own switches, chooses its kernels as on an older CPU, and its speed on them is real.
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

// CPUID leaf 7, subleaf 0, by register
enum {
  AVX512_EBX = 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31,
  VNNI_VBMI_ECX = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14,
  AVX512_EDX = 1u << 2 | 1u << 3 | 1u << 8 | 1u << 23,
  AMX_EDX = 1u << 22 | 1u << 24 | 1u << 25,
  VNNI_ECX = 1u << 11,
  FP16_EDX = 1u << 23,
  AVX_VNNI_BF16_EAX = 1u << 4 | 1u << 5,  // subleaf 1
};

static int held_avx2;

static void on_cpuid(int signal_number, siginfo_t* info, void* context) {
  (void)info;
  greg_t* const registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  const unsigned char* const code = (const unsigned char*)registers[REG_RIP];
  if (code[0] != 0x0F || code[1] != 0xA2) {  // a fault of the program's own
    signal(signal_number, SIG_DFL);
    return;
  }
  const unsigned leaf = (unsigned)registers[REG_RAX], subleaf = (unsigned)registers[REG_RCX];
  unsigned a, b, c, d;
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
  __cpuid_count(leaf, subleaf, a, b, c, d);
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
  if (leaf == 7 && subleaf == 0) {
    if (held_avx2) b &= ~(unsigned)AVX512_EBX;
    c &= ~(unsigned)(held_avx2 ? VNNI_VBMI_ECX : VNNI_ECX);
    d &= ~(unsigned)(held_avx2 ? AVX512_EDX | AMX_EDX : FP16_EDX | AMX_EDX);
  }
  if (leaf == 7 && subleaf == 1) a &= ~(unsigned)AVX_VNNI_BF16_EAX;
  registers[REG_RAX] = a;
  registers[REG_RBX] = b;
  registers[REG_RCX] = c;
  registers[REG_RDX] = d;
  registers[REG_RIP] += 2;
}

__attribute__((constructor(101))) static void hold(void) {
  const char* const isa = getenv("HELD_ISA");
  held_avx2 = isa != NULL && strcmp(isa, "avx2") == 0;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_cpuid;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, NULL);
  if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) != 0) {
    fputs("this CPU or kernel cannot make CPUID fault: instruction sets cannot be held\n", stderr);
    _exit(1);
  }
}
