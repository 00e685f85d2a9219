#!/usr/bin/env bash
# What minutes allow of the tests on the emulated device (README.md), for scripts/test.sh: the segmentation pass in f32 and bf16 and
# a few training steps beside the CPU's kernels, masks of the reference, and a device that fails in training and under the element.
#
#   tests/cuda/quick.sh [COMMAND...]   a command to run while the last of it takes one processor
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v g++ >/dev/null; then
    echo "SKIPPED: the tests on the emulated CUDA device need g++; install it (scripts/setup.sh)" >&2
    "$@"
    exit
fi
# shellcheck source=../../scripts/features.sh
CUDA=1 . scripts/features.sh
# The same is chosen for building and for testing: for the test alone cargo would build burn once more.
chosen=("${TESTED[@]}" --test alike --bin factorseg-pipeline --bin factorseg)
cargo build "${chosen[@]}"
make --silent -C tests/cuda
# Kernels are compiled one after the other, so two processes do better.
target=${CARGO_TARGET_DIR:-target}
PIPELINE=$target/release/factorseg-pipeline FACTORSEG=$target/release/factorseg tests/cuda/failures.sh >"$target/failures.log" 2>&1 &
failures=$!
cargo test "${chosen[@]}" --config "target.'cfg(unix)'.runner = '$PWD/tests/cuda/emulate'" -- --test-threads=1 \
    segmentation_by_a_small_network updates_are_alike masks_without_classes || wrong=1
"$@" || wrong=1
wait $failures || wrong=1
cat "$target/failures.log"
exit "${wrong:-0}"
