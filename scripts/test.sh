#!/usr/bin/env bash
# Installs what is missing, checks format and lints, and runs every test: those of the build for CPUs whole, those of the network in
# burn, computed on the CPU, and those on an emulated CUDA device that minutes allow.
set -euo pipefail
cd "$(dirname "$0")/.."
MPI=1 TESTS=1 scripts/setup.sh
# shellcheck source=features.sh
CUDA=0 . scripts/features.sh
cpu=(--release --locked --workspace --exclude factorseg-network "${FEATURES[@]}" "${PLUGIN[@]}" --features factorseg-trainer/video,factorseg-trainer/mpi)
cargo fmt --all --check
# Programs and plugin first: the end-to-end tests start them.
cargo build "${cpu[@]}" --bins --lib --example objects
cargo clippy "${cpu[@]}" --all-targets -- -D warnings
cargo test "${cpu[@]}" --no-fail-fast
# The trainer with nothing that can be left out.
cargo clippy --release --locked -p factorseg-trainer --no-default-features -- -D warnings
# Object stores are a feature of their own: it brings HTTP and TLS.
cargo test --release --locked -p factorseg-data --features object-store --test remote
cargo test --release --locked -p factorseg-network --no-fail-fast
cargo clippy --release --locked -p factorseg-network --all-targets -- -D warnings
cargo clippy --release --locked -p factorseg-network -p factorseg-model --features factorseg-model/cuda -- -D warnings
# The code for CUDA, on a device that the CPU emulates.
tests/cuda/quick.sh
