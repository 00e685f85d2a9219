#!/usr/bin/env bash
# Runs the code for GPUs on an emulated one (README.md): the tests of burn's network, then a segmentation pass and training steps of
# the program beside the CPU's. Builds with CUDA what is not built yet. Extra words choose tests.
#
#   tests/cuda/run.sh                     everything
#   tests/cuda/run.sh --test reference    some tests alone
#
# Environment: FAKECUDA_* (libcuda.cpp), FAKECUDA_CACHE (compiled kernels, default target/fakecuda).
set -euo pipefail
cd "$(dirname "$0")/../.."
make --silent -C tests/cuda
target=${CARGO_TARGET_DIR:-$PWD/target}
export LD_LIBRARY_PATH=$PWD/tests/cuda/emu CUDA_PATH=$PWD/tests/cuda FAKECUDA_INCLUDE=$PWD/tests/cuda/include
export FAKECUDA_CC=${FAKECUDA_CC:-70} FAKECUDA_CACHE=${FAKECUDA_CACHE:-$target/fakecuda} FAKECUDA_QUIET=1
export CUBECL_AUTOTUNE_LEVEL=minimal
mkdir -p "$FAKECUDA_CACHE"
cargo test --release --locked -p factorseg-network --features cuda "$@" -- --test-threads=1
(($#)) && exit
cargo build --release --locked -p factorseg-trainer
factorseg=$target/release/factorseg
for precision in "f32 1e-3" "bf16 3e-2"; do
    read -r name allowed <<<"$precision"
    "$factorseg" bench segment --device cuda --precision "$name" --parity "$allowed" --warm
done
"$factorseg" bench train --preset tiny --recipe competition --batch-size 2 --steps 1 --warmup 1 --device cuda
