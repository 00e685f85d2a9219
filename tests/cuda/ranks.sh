#!/usr/bin/env bash
# Two processes, each with an emulated GPU (README.md), train as one: gradients summed by NCCL's stand-in and then through host
# memory. Two numbers have one sum, so the weights must be the same bits; also where one process has no micro-batch. Then an NCCL
# that fails, at the start and in the middle.
#
#   tests/cuda/ranks.sh
#
# Environment: FACTORSEG (a program built with CUDA and MPI; default: built with cargo), FAKECUDA_* as in emulated.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ -z ${FACTORSEG:-} ]]; then
    cargo build --release --locked -p factorseg-trainer --features mpi
    FACTORSEG=${CARGO_TARGET_DIR:-$PWD/target}/release/factorseg
fi
# shellcheck source=emulated.sh
. tests/cuda/emulated.sh
export FAKECUDA_DEVICES=2 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
make_pictures "$work/pictures"
make_recipe "$work/uneven.toml" 3 3
make_recipe "$work/idle.toml" 4 3

# Trains by a recipe on two ranks; `nccl` or `host` is how they sum.
train() {
    local libraries=$LD_LIBRARY_PATH
    [[ $2 == nccl ]] && libraries=$PWD/tests/cuda/nccl:$libraries
    status=0
    LD_LIBRARY_PATH=$libraries timeout 3000 mpirun --oversubscribe --bind-to none -n 2 "$FACTORSEG" train "$work/pictures" \
        --run "$work/$3" --recipe "$work/$1.toml" "${smallest[@]}" &>"$work/$3.log" || status=$?
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
for name in uneven idle; do
    train $name host $name-host
    expect $name-host "through host memory: libnccl.so.2 is not found"
    FAKECUDA_LOG=$work/sums train $name nccl $name-nccl
    expect $name-nccl "summed by NCCL, on the GPUs"
    if cmp <(weights "$work/$name-host/model.safetensors") <(weights "$work/$name-nccl/model.safetensors"); then
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
