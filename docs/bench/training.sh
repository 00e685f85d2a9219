#!/bin/sh
# A training pass, forward and backward, here and in PyTorch eager (channels_last), alternating, and the ratios.
#
#   docs/bench/training.sh                        # tiny and small, uniform masks and K = 2 and 3, batch 16, 1 thread
#   THREADS=2 PRESETS=tiny docs/bench/training.sh
#
# Environment: PRESETS, STEPS (masks:regions), BATCH, and what in_turn.sh says.
set -eu
cd "$(dirname "$0")/../.."
. docs/bench/in_turn.sh
BATCH=${BATCH:-16}
prepare bench_training
echo "| network | masks | K | batch | threads | PyTorch | here | ratio least | ratio median | ratio processor |"
echo "|---|---|---|---|---|---|---|---|---|---|"
for preset in ${PRESETS:-tiny small}; do
    for step in ${STEPS:-uniform:3 learned:2 learned:3}; do
        in_turn "$preset | ${step%:*} | ${step#*:} | $BATCH | $THREADS" docs/bench/training_pytorch.py \
            --preset "$preset" --masks "${step%:*}" --regions "${step#*:}" --batch "$BATCH"
    done
done
