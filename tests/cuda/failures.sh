#!/usr/bin/env bash
# A device that fails: at its memory, a copy, a kernel, early and in the middle. On the emulated device (README.md).
# - Under the element: one error, or frames pass on; nothing hangs or is aborted; the same command runs again on a device that works.
# - In training: one error that says how to go on; the newest checkpoint is whole, and `resume` comes to the same weights, bit for bit.
#
#   tests/cuda/failures.sh             both; the stream is segmented with what was trained
#   tests/cuda/failures.sh stream      one of them, training or stream; that with the embedded checkpoint
#
# Environment: PIPELINE, FACTORSEG (built programs with CUDA; default: built with cargo), CLIP (pictures 0.png, 1.png, ... of the stream),
# FAKECUDA_* as in emulated.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
(($#)) || set -- training stream
built=${CARGO_TARGET_DIR:-$PWD/target}/release
if [[ -z ${PIPELINE:-} && " $* " == *" stream "* ]]; then
    cargo build --release --locked -p factorseg-pipelines
fi
if [[ -z ${FACTORSEG:-} && " $* " == *" training "* ]]; then
    cargo build --release --locked -p factorseg-trainer
fi
PIPELINE=${PIPELINE:-$built/factorseg-pipeline} FACTORSEG=${FACTORSEG:-$built/factorseg}
# shellcheck source=emulated.sh
. tests/cuda/emulated.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wrong=0

# Runs a command: its status, and the last line that it says.
run() {
    status=0
    timeout 1800 "$@" 2>"$work/log" >"$work/out" || status=$?
    last=$(grep -a . "$work/log" | tail -n 1 || true)
}
# With the status and the words that it must end with, and no panic.
expect() {
    if [[ $status == "$2" && $last == *"${3:-}"* ]] && ! grep -qa panicked "$work/log"; then
        echo "$1: status $status, $(wc -l <"$work/log") lines, ${last:0:200}"
    else
        echo "$1: status $status, expected $2 and \"${3:-}\": $(wc -l <"$work/log") lines, ${last:0:300}"
        wrong=1
    fi
}
# How often a command calls the entry point of the driver $1.
calls() {
    local entry=$1
    shift
    rm -f "$work/calls"
    FAKECUDA_LOG=$work/calls "$@" &>/dev/null
    grep -c "^CALL $entry\$" "$work/calls"
}

stream() {
    local clip=${CLIP:-$work/clip}
    mkdir -p "$work/clip"
    gst-launch-1.0 -q videotestsrc pattern=ball num-buffers=4 ! video/x-raw,format=RGB,width=96,height=96 ! pngenc ! \
        multifilesink location="$work/clip/%d.png"
    local overlay=("$PIPELINE" overlay --in "$clip" --out "$work/out.mp4" device=cuda)
    local trained=$work/whole/model.safetensors
    [[ ! -e $trained ]] || overlay+=("model=$trained")
    run "${overlay[@]}"
    expect "a device that works" 0
    local launches
    launches=$(calls cuLaunchKernel "${overlay[@]}")
    # No memory; the weights, a result, the first kernel, one in the middle of the stream.
    local failure
    for failure in MEMORY=0 FAIL=cuMemcpyHtoDAsync_v2:3 FAIL=cuMemcpy2DAsync_v2:2 FAIL=cuLaunchKernel:1 "FAIL=cuLaunchKernel:$((launches * 3 / 4))"; do
        export "FAKECUDA_$failure"
        run "${overlay[@]}"
        case $failure in
            MEMORY*) expect "$failure" 1 "allocate" ;;
            *) expect "$failure" 1 "failed on cuda:0" ;;
        esac
        run "${overlay[@]}" on-error=passthrough
        expect "$failure, passed on" 0
        unset "FAKECUDA_${failure%%=*}"
    done
    run "${overlay[@]}"
    expect "a device that works again" 0
}

training() {
    make_pictures "$work/pictures"
    make_recipe "$work/steps.toml" 4 2
    # The run's folder is to follow.
    local train=("$FACTORSEG" train "$work/pictures" --recipe "$work/steps.toml" "${smallest[@]}" --save-every 1 --run)
    run "${train[@]}" "$work/whole"
    expect "training on a device that works" 0
    run env FAKECUDA_MEMORY=1 "${train[@]}" "$work/none"
    expect "training, MEMORY=1" 1 "allocate"
    # An early and a late kernel, and a result that a checkpoint reads.
    local launches results failure
    launches=$(calls cuLaunchKernel "${train[@]}" "$work/counted")
    results=$(grep -c '^CALL cuMemcpyDtoHAsync_v2$' "$work/calls")
    for failure in "cuLaunchKernel:$((launches / 8))" "cuLaunchKernel:$((launches * 3 / 4))" "cuMemcpyDtoHAsync_v2:$((results - 1))"; do
        export FAKECUDA_FAIL=$failure
        rm -rf "$work/cut"
        run "${train[@]}" "$work/cut"
        expect "training, $failure" 1 "the newest checkpoint is whole: go on with \`factorseg resume $work/cut\`"
        unset FAKECUDA_FAIL
        local left
        left=$(ls "$work/cut/checkpoints")
        run "$FACTORSEG" resume "$work/cut"
        expect "    resumed after ${left##*step-}" 0
        if ! cmp <(weights "$work/cut/model.safetensors") <(weights "$work/whole/model.safetensors"); then
            echo "    other weights than without the failure"
            wrong=1
        fi
    done
}

for part in "$@"; do "$part"; done
exit $wrong
