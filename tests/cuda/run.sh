#!/usr/bin/env bash
# Runs the code for GPUs on an emulated one (README.md): the tests of burn's network, then a segmentation pass and training steps of
# the program beside the CPU's. Builds with CUDA what is not built yet. Extra words choose tests.
#
#   tests/cuda/run.sh                     everything
#   tests/cuda/run.sh --test reference    some tests alone
#
# Environment: FAKECUDA_*, FAKECUDA_CACHE (emulated.sh).
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo test --release --locked -p factorseg-network --features cuda --config "target.'cfg(unix)'.runner = '$PWD/tests/cuda/emulate'" \
    "$@" -- --test-threads=1
(($#)) && exit
cargo build --release --locked -p factorseg-trainer
factorseg=${CARGO_TARGET_DIR:-$PWD/target}/release/factorseg
# shellcheck source=emulated.sh
. tests/cuda/emulated.sh
for precision in "f32 1e-3" "bf16 3e-2"; do
    read -r name allowed <<<"$precision"
    "$factorseg" bench segment --device cuda --precision "$name" --parity "$allowed" --warm
done
"$factorseg" bench train --preset tiny --recipe competition --batch-size 2 --steps 1 --warmup 1 --device cuda
