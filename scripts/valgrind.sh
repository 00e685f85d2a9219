#!/usr/bin/env bash
# Runs the plugin's unit tests and the small ones of its stream tests under valgrind (Debian: apt-get install valgrind).
# Invalid reads and writes, uses of undefined values and memory that is definitely lost are failures. The tests with the
# real network need a machine that does nothing else: a frame takes a quarter of a minute, and more than a whole is failure.
#
#   scripts/valgrind.sh [TEST ...]     other stream tests than the small ones
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "valgrind.sh: valgrind is missing: apt-get install valgrind" >&2; exit 1; }

# Many frames, clocks and flushes take too long under valgrind, which is some fifty times slower.
small=(masks:: formats::the_mask formats::caps_may formats::what_others formats::interlaced formats::a_buffer
    embedded::a_still embedded::two_elements overlap::a_single_frame overlap::nothing_overtakes properties::drawing properties::options
    failures::a_missing failures::a_model loading::loading lifecycle::an_end lifecycle::a_flush lifecycle::no_mask hostile::whole)
(($#)) && small=("$@")

binaries=$(cargo test --release --locked --package gst-plugin-factorseg --lib --test element --no-run 2>&1 |
    sed -n 's/.*(\(target[^)]*\)).*/\1/p')
run() {
    echo "valgrind $*"
    # G_SLICE keeps each allocation apart.
    G_SLICE=always-malloc RUST_BACKTRACE=0 valgrind --quiet --error-exitcode=99 --leak-check=full \
        --show-leak-kinds=definite --errors-for-leak-kinds=definite --suppressions=scripts/valgrind.supp \
        --num-callers=25 "$@" --test-threads=1
}
for binary in $binaries; do
    case $binary in
    */element-*) run "$binary" "${small[@]}" ;;
    *) run "$binary" ;;
    esac
done
echo "valgrind: no errors"
