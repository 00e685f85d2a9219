#!/bin/sh
# A training pass, forward and backward, here and in PyTorch eager (channels_last), alternating, and the ratios.
#
#   docs/bench/training.sh                        # tiny and small, uniform masks and K = 2 and 3, batch 16, 1 thread
#   THREADS=2 PRESETS=tiny docs/bench/training.sh
#
# Environment: PYTHON (a Python with torch), THREADS, PRESETS, STEPS (masks:regions), BATCH, ROUNDS (of both in turn),
# SECONDS_EACH, BENCH (a built bench_training example; default: built with cargo). The least of all rounds counts:
# other loads of the machine can only add to a time.
set -eu
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
THREADS=${THREADS:-1}
PRESETS=${PRESETS:-"tiny small"}
STEPS=${STEPS:-"uniform:3 learned:2 learned:3"}
BATCH=${BATCH:-16}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-4}
if ! "$PYTHON" -c 'import torch' 2>/dev/null; then
    echo "training.sh: $PYTHON has no torch; set PYTHON to one that has" >&2
    exit 1
fi
if [ -z "${BENCH:-}" ]; then
    cargo build --release -p factorseg-kernels --example bench_training
    BENCH=${CARGO_TARGET_DIR:-target}/release/examples/bench_training
fi
# The least of each of the three times over the rounds of the file $1.
least() {
    awk '$1 == "milliseconds" {
        if (!n || $7 < l) l = $7; if (!n || $8 < m) m = $8; if (!n || $9 < c) c = $9; n++
    } END { print l, m, c }' "$1"
}
ours=$(mktemp)
theirs=$(mktemp)
trap 'rm -f "$ours" "$theirs"' EXIT
echo "Milliseconds of a pass: least and median wall clock, mean processor time; then PyTorch's divided by ours."
echo "| network | masks | K | batch | threads | PyTorch | here | ratio least | ratio median | ratio processor |"
echo "|---|---|---|---|---|---|---|---|---|---|"
for preset in $PRESETS; do
    for step in $STEPS; do
        masks=${step%:*}
        regions=${step#*:}
        : >"$ours"
        : >"$theirs"
        for _ in $(seq "$ROUNDS"); do
            "$PYTHON" docs/bench/training_pytorch.py --preset "$preset" --masks "$masks" --regions "$regions" \
                --batch "$BATCH" --threads "$THREADS" --seconds "$SECONDS_EACH" 2>/dev/null >>"$theirs"
            "$BENCH" --preset "$preset" --masks "$masks" --regions "$regions" --batch "$BATCH" --threads "$THREADS" \
                --seconds "$SECONDS_EACH" >>"$ours"
        done
        set -- $(least "$theirs") $(least "$ours")
        awk -v p="$preset" -v k="$masks" -v r="$regions" -v b="$BATCH" -v t="$THREADS" \
            -v a="$1" -v am="$2" -v ac="$3" -v o="$4" -v om="$5" -v oc="$6" \
            'BEGIN { printf "| %s | %s | %d | %d | %d | %.0f, %.0f, %.0f | %.1f, %.1f, %.1f | %.2f | %.2f | %.2f |\n",
                p, k, r, b, t, a, am, ac, o, om, oc, a / o, am / om, (oc > 0) ? ac / oc : 0 }'
    done
done
