#!/bin/sh
# The segmentation pass here and in PyTorch eager (channels_last), alternating, and the table of ratios.
#
#   docs/bench/segment.sh                        # 1 thread, batch 1 and 8
#   THREADS=2 PRESETS="tiny small" docs/bench/segment.sh
#
# Environment: PYTHON (a Python with torch), THREADS, PRESETS, BATCHES, ROUNDS (of both in turn), SECONDS_EACH,
# BENCH (a built bench example; default: built with cargo). The least of all rounds counts: other loads of the machine
# can only add to a time.
set -eu
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
THREADS=${THREADS:-1}
PRESETS=${PRESETS:-"tiny small paper-64"}
BATCHES=${BATCHES:-"1 8"}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-4}
if ! "$PYTHON" -c 'import torch' 2>/dev/null; then
    echo "segment.sh: $PYTHON has no torch; set PYTHON to one that has" >&2
    exit 1
fi
if [ -z "${BENCH:-}" ]; then
    cargo build --release -p factorseg-kernels --example bench
    BENCH=${CARGO_TARGET_DIR:-target}/release/examples/bench
fi
# The least of each of the three times over the rounds of the file $1.
least() {
    awk '$1 == "milliseconds" {
        if (!n || $5 < l) l = $5; if (!n || $6 < m) m = $6; if (!n || $7 < c) c = $7; n++
    } END { print l, m, c }' "$1"
}
ours=$(mktemp)
theirs=$(mktemp)
trap 'rm -f "$ours" "$theirs"' EXIT
echo "Milliseconds of a pass: least and median wall clock, mean processor time; then PyTorch's divided by ours."
echo "| network | batch | threads | PyTorch | here | ratio least | ratio median | ratio processor |"
echo "|---|---|---|---|---|---|---|---|"
for preset in $PRESETS; do
    for batch in $BATCHES; do
        : >"$ours"
        : >"$theirs"
        for _ in $(seq "$ROUNDS"); do
            "$PYTHON" docs/bench/segment_pytorch.py --preset "$preset" --batch "$batch" --threads "$THREADS" \
                --seconds "$SECONDS_EACH" 2>/dev/null >>"$theirs"
            "$BENCH" --preset "$preset" --batch "$batch" --threads "$THREADS" --seconds "$SECONDS_EACH" >>"$ours"
        done
        set -- $(least "$theirs") $(least "$ours")
        awk -v p="$preset" -v b="$batch" -v t="$THREADS" -v a="$1" -v am="$2" -v ac="$3" -v o="$4" -v om="$5" -v oc="$6" \
            'BEGIN { printf "| %s | %d | %d | %.2f, %.2f, %.2f | %.2f, %.2f, %.2f | %.2f | %.2f | %.2f |\n",
                p, b, t, a, am, ac, o, om, oc, a / o, am / om, (oc > 0) ? ac / oc : 0 }'
    done
done
