#!/usr/bin/env bash
# Runs test programs on an x86 CPU that this machine does not have: a Linux with nothing but them, under Bochs.
#   emulate.sh CPU COMMAND...   e.g. emulate.sh tigerlake "engine_test 8" "scan_test 2"
# CPU is one of `bochs -help cpu`: tigerlake (AVX-512 and VNNI; Bochs 2.7 will do) or sapphire_rapids (AMX and bfloat16; Bochs 3).
# A command is a program of `run.sh static` with its arguments; "real_texts texts.bin" wants TEXTS, by dump_texts.py.
#
#   BOCHS=bochs   the emulator
#   KERNEL        a kernel image (Debian: /boot/vmlinuz-* of linux-image-cloud-amd64; 5.16 or later for AMX)
#   TEXTS         a file that real_texts is to find as texts.bin
#   PROGRAMS      a folder of `run.sh static`, which is called if there is none
# Debian: bochs, vgabios, busybox-static, cpio, xorriso, isolinux, syslinux-common.
#
# As released, Bochs 3.0 cannot run AMX under Linux, which wants XFD to guard the tiles. What we changed in ours, all in cpu/:
# IA32_XFD and IA32_XFD_ERR (MSRs 0x1C4, 0x1C5), their bits in leaf 0xD and #NM while bit 18 of XFD is set; TDPBUSD and TDPBSUD
# take their signed operand as signed; XSAVE keeps all 16 rows of a tile, in use where the tracker is not 0, and keeps rows and
# bytes of the configuration in their own places.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [[ $# -lt 2 || ! -r ${KERNEL:-} ]]; then
  sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" >&2
  exit 2
fi
cpu=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/root/{bin,dev,proc} "$work"/iso/isolinux "$work/programs"
[[ -n ${PROGRAMS:-} ]] || "$here/run.sh" static "$work/programs"
for program in "${PROGRAMS:-$work/programs}"/*; do strip -o "$work/root/$(basename "$program")" "$program"; done
[[ -z ${TEXTS:-} ]] || cp "$TEXTS" "$work/root/texts.bin"
cp "$(command -v busybox)" "$work/root/bin/busybox"
printf '%s\n' "$@" >"$work/root/commands"
cat >"$work/root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/null >/dev/ttyS0 2>&1
/bin/busybox grep -m1 "model name" /proc/cpuinfo
/bin/busybox grep -m1 ^flags /proc/cpuinfo | /bin/busybox tr ' ' '\n' | /bin/busybox grep -E "^(avx|amx|fma)" | /bin/busybox tr '\n' ' '
echo
failed=0
while read -r command; do
  echo "== $command"
  /$command || failed=1
done </commands
echo "exit $failed"
/bin/busybox poweroff -f
INIT
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/iso/initrd"
cp "$KERNEL" "$work/iso/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso/isolinux/"
# what is switched off either has no emulation or is emulated wrongly; five levels of page tables do not come back from SMM
cat >"$work/iso/isolinux/isolinux.cfg" <<'BOOT'
default l
label l
 kernel /vmlinuz
 append initrd=/initrd console=ttyS0 nokaslr no5lvl mitigations=off nomodeset clearcpuid=pku,fsrm,aperfmperf ibt=off idle=halt random.trust_cpu=on panic=-1
BOOT
xorriso -as mkisofs -quiet -o "$work/disk.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
  -boot-info-table "$work/iso" 2>"$work/xorriso.out"
cat >"$work/bochsrc" <<RC
display_library: nogui
plugin_ctrl: speaker=0
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model=$cpu, count=1, ips=40000000, reset_on_triple_fault=0, ignore_bad_msrs=1
megs: 512
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/disk.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial.txt
log: $work/bochs.log
panic: action=fatal
clock: sync=none
RC
"${BOCHS:-bochs}" -q -f "$work/bochsrc" </dev/null >"$work/bochs.out" 2>&1 || true
sed -n '/^model name/,$p' "$work/serial.txt" | tr -d '\r'
grep -q '^exit 0' "$work/serial.txt" || {
  echo "the emulated machine did not come to a good end; its last lines and Bochs':" >&2
  tail -5 "$work/serial.txt" "$work/bochs.log" >&2
  exit 1
}
