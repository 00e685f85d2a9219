#!/bin/sh
# The segmentation pass here and in PyTorch eager (channels_last), alternating, and the table of ratios.
#
#   docs/bench/segment.sh                        # 1 thread, batch 1 and 8
#   THREADS=2 PRESETS="tiny small" docs/bench/segment.sh
#   OURS="--precision bf16" docs/bench/segment.sh    # ours in bf16, PyTorch in f32
#
# Environment: PRESETS, BATCHES, and what in_turn.sh says.
set -eu
cd "$(dirname "$0")/../.."
. docs/bench/in_turn.sh
prepare bench
echo "| network | batch | threads | PyTorch | here | ratio least | ratio median | ratio processor |"
echo "|---|---|---|---|---|---|---|---|"
for preset in ${PRESETS:-tiny small paper-64}; do
    for batch in ${BATCHES:-1 8}; do
        in_turn "$preset | $batch | $THREADS" docs/bench/segment_pytorch.py --preset "$preset" --batch "$batch"
    done
done
