#!/usr/bin/env bash
# Builds the book from docs/ into target/book and says where it is; installs mdBook with cargo where it is missing.
#
#   scripts/book.sh            build it; warnings are errors
#   scripts/book.sh serve      ... and show it, again after each change
set -euo pipefail
cd "$(dirname "$0")/.."
command -v mdbook >/dev/null || cargo install --locked mdbook --no-default-features --features search,serve,watch
if [[ ${1:-} == serve ]]; then
    exec mdbook serve docs
fi
said=$(mdbook build docs 2>&1) || { echo "$said" >&2; exit 1; }
echo "$said" >&2
if grep -Eq '\b(WARN|ERROR)\b' <<<"$said"; then
    echo "book: warnings, above" >&2
    exit 1
fi
echo "target/book/index.html"
