#!/usr/bin/env bash
# Lets the element start, seek, change and stop for an hour, and fails if the process grows.
#
#   scripts/soak.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
FACTORSEG_SOAK_SECONDS=${1:-3600} cargo test --release --locked --package gst-plugin-factorseg --test soak -- --nocapture
