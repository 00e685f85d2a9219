#!/usr/bin/env bash
# Two processes, each with an emulated GPU (README.md), train as one: gradients summed by NCCL's stand-in and then through host
# memory. Two numbers have one sum, so the weights must be the same bits; also where one process has no micro-batch. Then an NCCL
# that fails, at the start and in the middle.
#
#   tests/cuda/ranks.sh
#
# Environment: FACTORSEG (a program built with CUDA and MPI; default: built with cargo), FAKECUDA_* as in run.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
make --silent -C tests/cuda
target=${CARGO_TARGET_DIR:-$PWD/target}
if [[ -z ${FACTORSEG:-} ]]; then
    cargo build --release --locked -p factorseg-trainer --features mpi
    FACTORSEG=$target/release/factorseg
fi
emulated=$PWD/tests/cuda/emu
export CUDA_PATH=$PWD/tests/cuda FAKECUDA_INCLUDE=$PWD/tests/cuda/include FAKECUDA_DEVICES=2
export FAKECUDA_CC=${FAKECUDA_CC:-70} FAKECUDA_CACHE=${FAKECUDA_CACHE:-$target/fakecuda} FAKECUDA_QUIET=1
export CUBECL_AUTOTUNE_LEVEL=minimal OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mkdir -p "$FAKECUDA_CACHE"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/pictures"
gst-launch-1.0 -q videotestsrc pattern=smpte motion=sweep num-buffers=8 ! video/x-raw,format=RGB,width=20,height=20 ! pngenc ! \
    multifilesink location="$work/pictures/%d.png"

# The phase of a recipe in which all parts learn.
recipe() {
    cat >"$work/$1.toml" <<END
name = "$1"
batch_size = 4
micro_batch = $2
ema_rate = 0.99
label_dropout = 0.0
gradient_clip = 1.0
[[phases]]
name = "release"
steps = 3
timesteps = [1, 100]
learning_rate = 1e-3
mask_head = { released = { std = 0.05 } }
END
}
recipe uneven 3
recipe idle 4

# Trains by a recipe on two ranks; `nccl` or `host` is how they sum.
train() {
    local libraries=$emulated
    [[ $2 == nccl ]] && libraries=$PWD/tests/cuda/nccl:$emulated
    status=0
    LD_LIBRARY_PATH=$libraries timeout 3000 mpirun --oversubscribe --bind-to none -n 2 "$FACTORSEG" train "$work/pictures" \
        --run "$work/$3" --recipe "$work/$1.toml" --preset tiny --image-size 16 --base-channels 8 --channel-multipliers 1,2 \
        --residual-blocks 1 --attention-resolutions 8 --held-out 0 --seed 3 --log-every 1 --device cuda &>"$work/$3.log" || status=$?
}
wrong=0
expect() {
    if grep -q "$2" "$work/$1.log"; then
        echo "$1: status $status: $(grep -m 1 "$2" "$work/$1.log")"
    else
        echo "$1: status $status, and no \"$2\":"
        tail -n 5 "$work/$1.log"
        wrong=1
    fi
}
# Without the header, whose order is not fixed.
weights() {
    local file=$work/$1/model.safetensors
    tail -c "+$(($(od -An -tu8 -N8 "$file") + 9))" "$file"
}
for name in uneven idle; do
    train $name host $name-host
    expect $name-host "through host memory: libnccl.so.2 is not found"
    FAKECUDA_LOG=$work/sums train $name nccl $name-nccl
    expect $name-nccl "summed by NCCL, on the GPUs"
    if cmp <(weights $name-host) <(weights $name-nccl); then
        echo "$name: the same weights, after $(grep -c ^SUM "$work/sums") sums of both"
    else
        wrong=1
    fi
    rm -f "$work/sums"
done
FAKENCCL_FAIL=ncclCommInitRank:1 train uneven nccl not-joined
expect not-joined "through host memory: .*NCCL: unhandled system error"
FAKENCCL_FAIL=ncclGroupEnd:5 train uneven nccl broken
expect broken "error: .*NCCL: unhandled system error"
((status)) || { echo "broken: a step without its sum ended well"; wrong=1; }
exit $wrong
