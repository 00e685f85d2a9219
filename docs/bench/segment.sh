#!/bin/sh
# The segmentation pass here and in PyTorch eager (channels_last), OpenVINO and ONNX Runtime, in turn, and the table of ratios.
#
#   docs/bench/segment.sh                        # 1 thread, batch 1 and 8
#   THREADS=2 PRESETS="tiny small" docs/bench/segment.sh
#   OURS="--precision bf16" docs/bench/segment.sh    # ours in bf16, the others in f32
#   OURS="--precision bf16" THEIRS=--bf16 docs/bench/segment.sh
#
# Environment: PRESETS, BATCHES, ENGINES (default: those of torch, openvino and onnxruntime that PYTHON has), and what
# in_turn.sh says. `pip install openvino onnxruntime onnxscript` in a virtual environment with torch has all three.
set -eu
cd "$(dirname "$0")/../.."
. docs/bench/in_turn.sh
prepare bench
models=$(mktemp -d)
trap 'rm -rf "$ours" "$theirs" "$models"' EXIT
engines=
for engine in ${ENGINES:-torch openvino onnxruntime}; do
    if "$PYTHON" -c "import $engine" 2>/dev/null; then
        engines="$engines $engine"
    else
        echo "$0: no column for $engine: $PYTHON cannot import it" >&2
    fi
done
echo
echo "| network | batch | threads | engine | its | ours | ratio least | ratio median | ratio processor |"
echo "|---|---|---|---|---|---|---|---|---|"
for preset in ${PRESETS:-tiny small paper-64}; do
    for batch in ${BATCHES:-1 8}; do
        for engine in $engines; do
            THEIR_OPTIONS="--engine $engine --models $models ${THEIRS:-}"
            in_turn "$preset | $batch | $THREADS | $engine" docs/bench/segment_pytorch.py --preset "$preset" --batch "$batch"
        done
    done
done
