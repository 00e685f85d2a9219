#!/usr/bin/env bash
# Runs the kernels' tests of bfloat16 on an emulated processor with AMX, for machines without one: Linux in Bochs, on Debian.
# Slow: what takes a second here takes minutes there.
#
#   scripts/amx.sh              products, convolutions and whole passes in bf16, with every instruction set
#   scripts/amx.sh TEST ...     other unit tests
#
# The first run downloads and builds what it needs in target/amx (AMX_WORK names another folder). Bochs takes a patch
# (scripts/amx.patch): it has the instructions, but not all that Linux needs to let a process use them. AMX_TIMEOUT: seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in xorriso cpio curl g++; do
    command -v $tool >/dev/null || { echo "amx.sh: $tool is missing: apt-get install xorriso cpio curl g++ make" >&2; exit 1; }
done
units=(products_of_pairs convolutions_in_bf16 rounding) passes=(bf16)
(($# == 0)) || { units=("$@") passes=(); }
here=$PWD work=${AMX_WORK:-$PWD/target/amx}
mkdir -p "$work"

if [[ ! -x $work/bochs/bochs ]]; then
    # shellcheck disable=SC2016 # apt's own variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sort -u | head -n 1)
    curl -sSfL -o "$work/bochs.tar.xz" "${mirror%/}/pool/main/b/bochs/bochs_3.0+dfsg.orig.tar.xz"
    echo "78f6c73d4a6472d5130a87ab9dc306d02c7c71ed8e25b3a8ef642e2a7acd282b  $work/bochs.tar.xz" | sha256sum --check --quiet
    rm -rf "$work/bochs" && mkdir "$work/bochs"
    tar -xf "$work/bochs.tar.xz" -C "$work/bochs" --strip-components=1
    patch --quiet -d "$work/bochs" -p1 <scripts/amx.patch
    (cd "$work/bochs" && ./configure --enable-cpu-level=6 --enable-x86-64 --enable-avx --enable-evex --enable-amx \
        --enable-fast-function-calls --enable-handlers-chaining --enable-pci --disable-show-ips --disable-docbook --with-nogui &&
        make -j "$(nproc)") >"$work/bochs.log" 2>&1 || { tail -n 20 "$work/bochs.log" >&2; exit 1; }
fi
if [[ ! -e $work/system/ready ]]; then
    mkdir -p "$work/packages" "$work/system"
    linux=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-\)/\1/p' | head -n 1)
    (cd "$work/packages" && apt-get download -qq "$linux" busybox-static isolinux syslinux-common bochsbios vgabios)
    for package in "$work"/packages/*.deb; do dpkg -x "$package" "$work/system"; done
    touch "$work/system/ready"
fi

# The system: the tests at their own places, with their libraries, and a first process that runs them.
root=$work/root disc=$work/disc
rm -rf "$root" "$disc"
mkdir -p "$root"/{bin,proc,dev,tmp} "$root$here/model/kernels" "$disc/isolinux"
cp "$work"/system/*bin/busybox "$root/bin/" 2>/dev/null || cp "$work/system/usr/bin/busybox" "$root/bin/"
cp --parents -r "$here"/tests/reference/fixtures "$here"/model/checkpoints "$root"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
busybox grep -m1 -o -w amx_bf16 /proc/cpuinfo || echo "amx.sh: the system does not offer AMX"
failed=0
INIT
while read -r binary; do
    name=$(basename "$binary") filters=("${units[@]}")
    [[ $name != parity-* ]] || filters=("${passes[@]}")
    ((${#filters[@]})) || continue
    cp "$binary" "$root/bin/$name"
    ldd "$binary" | grep -o '/[^ ]*' | xargs -I{} cp -L --parents {} "$root"
    echo "$name ${filters[*]} --nocapture --test-threads=1 || failed=1" >>"$root/init"
done < <(cargo test --release --locked --package factorseg-kernels --lib --test parity --no-run 2>&1 |
    tee /dev/stderr | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
cat >>"$root/init" <<'INIT'
[ $failed = 0 ] && echo "amx.sh: all passed" || echo "amx.sh: failed"
busybox sleep 2 # a system that is switched off does not print what it has not printed yet
busybox poweroff -f
INIT
chmod +x "$root/init"
strip --strip-debug "$root"/bin/*-*
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$disc/tests.gz"
cp "$work"/system/boot/vmlinuz-* "$disc/vmlinuz"
cp "$work"/system/usr/lib/ISOLINUX/isolinux.bin "$work"/system/usr/lib/syslinux/modules/bios/ldlinux.c32 "$disc/isolinux/"
# Moves of memory by the emulated `rep movs` of these bits (FSRM, ERMS, REP_GOOD) go wrong, and so does its ACPI.
cat >"$disc/isolinux/isolinux.cfg" <<'MENU'
default tests
label tests
 kernel /vmlinuz
 append initrd=/tests.gz console=ttyS0 mitigations=off acpi=off noapic nolapic nosmp lsm= clearcpuid=580,297,112
MENU
xorriso -as mkisofs -quiet -o "$work/tests.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
    -boot-load-size 4 -boot-info-table "$disc" 2>/dev/null
# Bochs may log within a message that it is logging, and then waits for itself: nothing is logged.
cat >"$work/bochsrc" <<MACHINE
megs: 1024
cpu: model=sapphire_rapids, ips=50000000, ignore_bad_msrs=1, exclude_features="la57, uintr, cet, pcid, pks, vmx"
romimage: file=$work/system/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=$work/system/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path=$work/tests.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial.txt
display_library: nogui
log: $work/machine.log
panic: action=fatal
error: action=ignore
info: action=ignore
MACHINE
: >"$work/serial.txt"
timeout "${AMX_TIMEOUT:-3600}" "$work/bochs/bochs" -q -f "$work/bochsrc" >"$work/emulator.log" 2>&1 </dev/null &
emulator=$!
sed -u -E '/^amx.sh: (all passed|failed)/q' < <(tail -n +1 -f "$work/serial.txt" --pid=$emulator)
kill $emulator || true # halted, but not off
grep -q "^amx.sh: all passed" "$work/serial.txt" || { echo "amx.sh: failed; see $work/serial.txt" >&2; exit 1; }
