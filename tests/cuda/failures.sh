#!/usr/bin/env bash
# A device that fails: at its memory, a copy, a kernel, and in the middle of a stream. The element gives one error, or
# passes frames on; nothing hangs or is aborted; and with a device that works the same command runs again. On the emulated
# device (README.md); a pass takes most of a minute the first time, when its kernels are compiled.
#
#   tests/cuda/failures.sh
#
# Environment: PIPELINE (a built factorseg-pipeline with CUDA; default: built with cargo), FAKECUDA_* as in run.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
make --silent -C tests/cuda
target=${CARGO_TARGET_DIR:-$PWD/target}
if [[ -z ${PIPELINE:-} ]]; then
    cargo build --release --locked -p factorseg-pipelines
    PIPELINE=$target/release/factorseg-pipeline
fi
export LD_LIBRARY_PATH=$PWD/tests/cuda/emu CUDA_PATH=$PWD/tests/cuda FAKECUDA_INCLUDE=$PWD/tests/cuda/include
export FAKECUDA_CC=${FAKECUDA_CC:-70} FAKECUDA_CACHE=${FAKECUDA_CACHE:-$target/fakecuda} FAKECUDA_QUIET=1
export CUBECL_AUTOTUNE_LEVEL=minimal
mkdir -p "$FAKECUDA_CACHE"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
clip=${CLIP:-$work/clip}
mkdir -p "$work/clip"
gst-launch-1.0 -q videotestsrc pattern=ball num-buffers=4 ! video/x-raw,format=RGB,width=96,height=96 ! pngenc ! multifilesink location="$work/clip/%d.png"
wrong=0

# How a run of a few frames ends: its status, and the last line that it says.
run() {
    status=0
    timeout 1800 "$PIPELINE" overlay --in "$clip" --out "$work/out.mp4" device=cuda "$@" 2>"$work/log" >"$work/out" || status=$?
    last=$(grep -a . "$work/log" | tail -n 1 || true)
}
# With the status and the words that it must end with, and no panic.
expect() {
    if [[ $status == "$2" && $last == *"${3:-}"* ]] && ! grep -qa panicked "$work/log"; then
        echo "$1: status $status, $(wc -l <"$work/log") lines, ${last:0:160}"
    else
        echo "$1: status $status, expected $2 and \"${3:-}\": $(wc -l <"$work/log") lines, ${last:0:300}"
        wrong=1
    fi
}

run
expect "a device that works" 0
launches=$(FAKECUDA_LOG=$work/calls "$PIPELINE" overlay --in "$clip" --out "$work/out.mp4" device=cuda &>/dev/null; grep -c LAUNCH "$work/calls")
# Memory runs out; the weights, a result, the first kernel, one in the middle of the stream.
for failure in MEMORY=2 FAIL=cuMemcpyHtoDAsync_v2:3 FAIL=cuMemcpy2DAsync_v2:2 FAIL=cuLaunchKernel:1 "FAIL=cuLaunchKernel:$((launches * 3 / 4))"; do
    export "FAKECUDA_$failure"
    run
    case $failure in
        MEMORY*) expect "$failure" 1 "allocate" ;;
        *) expect "$failure" 1 "failed on cuda:0" ;;
    esac
    run on-error=passthrough
    expect "$failure, passed on" 0
    unset "FAKECUDA_${failure%%=*}"
done
run
expect "a device that works again" 0
exit $wrong
