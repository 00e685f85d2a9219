#!/usr/bin/env bash
# What minutes allow of the tests on the emulated device (README.md), for scripts/test.sh: the segmentation pass in f32 and bf16 and
# a few training steps beside the CPU's kernels, networks of the reference implementation, and a device that fails under the element.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v g++ >/dev/null; then
    echo "SKIPPED: the tests on the emulated CUDA device need g++; install it (scripts/setup.sh)" >&2
    exit
fi
# shellcheck source=../../scripts/features.sh
CUDA=1 . scripts/features.sh
# The packages and features of scripts/test.sh, so that what they need is built once.
built=(--release --locked --workspace --exclude factorseg-network "${PLUGIN[@]}" --features factorseg-trainer/video,factorseg-trainer/mpi)
cargo build "${built[@]}" --test alike --bin factorseg-pipeline --bin factorseg
cargo test "${built[@]}" --test alike --config "target.'cfg(unix)'.runner = '$PWD/tests/cuda/emulate'" -- --test-threads=1 \
    segmentation_by_small updates_are_alike masks_without_classes
target=${CARGO_TARGET_DIR:-target}/release
PIPELINE=$target/factorseg-pipeline FACTORSEG=$target/factorseg tests/cuda/failures.sh
