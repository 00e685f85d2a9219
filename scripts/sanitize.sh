#!/usr/bin/env bash
# Runs the tests of the kernels, where the unsafe code is, under AddressSanitizer: every instruction set that this
# processor has, with one and several threads. Reads and writes out of bounds and after free, and leaks, are failures.
#
#   scripts/sanitize.sh [TEST ...]
#
# The sanitizer's runtime comes with Rust, but the option is unstable: RUSTC_BOOTSTRAP lets the stable compiler take it. It
# has a target folder of its own (SANITIZE_TARGET, default target/sanitize), as everything is compiled for it.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
# Doc tests would need the option in their own compiler.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=${SANITIZE_TARGET:-target/sanitize} \
    ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} \
    cargo test --release --locked --package factorseg-kernels --target "$host" --lib --tests -- "$@"
echo "sanitize: no errors"
