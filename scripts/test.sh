#!/usr/bin/env bash
# Installs what is missing, checks format and lints, and runs every test.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
cargo fmt --all --check
# Programs and plugin first: the end-to-end tests start them.
cargo build --release --locked --workspace
cargo clippy --release --locked --workspace --all-targets -- -D warnings
cargo test --release --locked --workspace --no-fail-fast
# Object stores are a feature of their own: it brings HTTP and TLS.
cargo test --release --locked -p factorseg-data --features object-store --test remote
