#!/usr/bin/env bash
# Installs what is missing, checks format and lints, and runs every test: those of a build with CUDA, those of the network in burn,
# computed on the CPU, and those on an emulated CUDA device that minutes allow.
set -euo pipefail
cd "$(dirname "$0")/.."
MPI=1 TESTS=1 scripts/setup.sh
# shellcheck source=features.sh
CUDA=1 . scripts/features.sh
cargo fmt --all --check
# As it is built for CPUs alone; and the trainer with nothing that can be left out.
cargo clippy "${TESTED[@]}" --no-default-features --all-targets -- -D warnings
cargo clippy --release --locked -p factorseg-trainer --no-default-features -- -D warnings
# Programs and plugin first: the end-to-end tests start them.
cargo build "${TESTED[@]}" --all-targets
cargo test "${TESTED[@]}" --no-fail-fast
# The code for CUDA, on a device that the CPU emulates; and the network in burn, which is compiled once more for the CPU: optimised
# also where CI spares that, as what computes is burn's own.
tests/cuda/quick.sh env -u CARGO_PROFILE_RELEASE_OPT_LEVEL cargo test --release --locked -p factorseg-network --no-fail-fast
# At once: each choice of features takes burn's metadata anew.
cargo clippy --release --locked -p factorseg-network -p factorseg-model --features factorseg-model/cuda --all-targets -- -D warnings
