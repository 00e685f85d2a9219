#!/usr/bin/env bash
# Opens the page of `factorseg-pipeline live` in a headless Chromium (Debian: chromium), plays it, changes it, clicks on it,
# and leaves pictures of it in target/browser.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v chromium >/dev/null; then
    echo "SKIPPED: no chromium here; apt-get install chromium" >&2
    exit 0
fi
program=${BUILT:-${CARGO_TARGET_DIR:-target}/release}/factorseg-pipeline
[[ -x $program ]] || { echo "browser: $program is missing: cargo build --release -p factorseg-pipelines" >&2; exit 1; }
mkdir -p target/browser
exec python3 tests/live/page.py "$program" target/browser
