# Sourced by segment.sh and training.sh: a Python program and one of ours in turn, and a table row of their times.
#
# Environment: PYTHON (a Python with torch), THREADS, ROUNDS (of both in turn), SECONDS_EACH, BENCH (the built example;
# default: built with cargo). The least of all rounds counts: other loads of the machine can only add to a time.
# shellcheck shell=sh
PYTHON=${PYTHON:-python3}
THREADS=${THREADS:-1}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-4}

# Builds the example $1, unless BENCH names one, and makes room for the output of both programs.
prepare() {
    if ! "$PYTHON" -c 'import torch' 2>/dev/null; then
        echo "$0: $PYTHON has no torch; set PYTHON to one that has" >&2
        exit 1
    fi
    if [ -z "${BENCH:-}" ]; then
        cargo build --release -p factorseg-kernels --example "$1"
        BENCH=${CARGO_TARGET_DIR:-target}/release/examples/$1
    fi
    ours=$(mktemp)
    theirs=$(mktemp)
    trap 'rm -f "$ours" "$theirs"' EXIT
    sed -n 's/^model name.*: /Processor: /p' /proc/cpuinfo | head -1
    echo "Milliseconds of a pass: least and median wall clock, mean processor time; then theirs divided by ours."
}

# The least of each of the last three words of the lines `milliseconds ...` of the file $1.
least() {
    awk '$1 == "milliseconds" {
        if (!n || $(NF - 2) < l) l = $(NF - 2); if (!n || $(NF - 1) < m) m = $(NF - 1); if (!n || $NF < c) c = $NF; n++
    } END { print l, m, c }' "$1"
}

# A table row: the cells $1, then the times of the program $2 with the options that follow and THEIR_OPTIONS, of BENCH with the
# same and OURS, and the ratios.
in_turn() {
    cells=$1
    program=$2
    shift 2
    : >"$ours"
    : >"$theirs"
    for _ in $(seq "$ROUNDS"); do
        # shellcheck disable=SC2086 # the options are words
        "$PYTHON" "$program" "$@" --threads "$THREADS" --seconds "$SECONDS_EACH" ${THEIR_OPTIONS:-} 2>/dev/null >>"$theirs"
        # shellcheck disable=SC2086 # the options are words
        "$BENCH" "$@" --threads "$THREADS" --seconds "$SECONDS_EACH" ${OURS:-} >>"$ours"
    done
    # shellcheck disable=SC2046 # three words each
    set -- $(least "$theirs") $(least "$ours")
    awk -v cells="$cells" -v a="$1" -v am="$2" -v ac="$3" -v o="$4" -v om="$5" -v oc="$6" \
        'BEGIN { printf "| %s | %.4g, %.4g, %.4g | %.4g, %.4g, %.4g | %.2f | %.2f | %.2f |\n",
            cells, a, am, ac, o, om, oc, a / o, am / om, (oc > 0) ? ac / oc : 0 }'
}
