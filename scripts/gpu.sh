#!/usr/bin/env bash
# Everything that needs a GPU, in one call of a few minutes without network: parity with the CPU, latency and throughput of
# the segmentation pass, training rates, memory, and PyTorch beside them where it is installed. Writes a table.
#
#   scripts/gpu.sh                                  # to gpu-report/
#   OUT=/tmp/report FACTORSEG=./factorseg scripts/gpu.sh
#
# Environment: DEVICE (default cuda), OUT (default gpu-report), FACTORSEG (a built program; default: built with cargo),
# PYTHON (default python3), PRESETS (default "tiny small paper-64"), BATCHES (default 1,8,32,128), SECONDS_EACH (default 4).
# Exits with 1 if the GPU's masks are not those of the CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
device=${DEVICE:-cuda} out=${OUT:-gpu-report} python=${PYTHON:-python3}
read -ra presets <<<"${PRESETS:-tiny small paper-64}"
batches=${BATCHES:-1,8,32,128} seconds=${SECONDS_EACH:-4}
if [[ -z ${FACTORSEG:-} ]]; then
    scripts/setup.sh
    cargo build --release --locked --package factorseg-trainer
    FACTORSEG=target/release/factorseg
fi
mkdir -p "$out"
table=$out/table.md
{
    echo "# factorseg on $(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null || echo "$device"), $(date -I)"
    echo
    echo '`scripts/gpu.sh`'
} >"$table"


status=0
# A JSON line's number with four significant digits, or a dash.
field() { sed -n "s/.*\"$1\":\([-0-9.e+]*\)[,}].*/\1/p" <<<"$2" | awk '{ printf "%.4g", $1 } END { if (!NR) printf "-" }'; }

echo >>"$table"
echo "Segmentation, one $device pass, milliseconds. A row whose probabilities differ from the CPU's by more than 1e-3 (f32)" \
    "or 3e-2 (bf16) says so instead:" >>"$table"
echo >>"$table"
echo "| network | precision | batch | least | median | images/s | first pass |" >>"$table"
echo "|---|---|---|---|---|---|---|" >>"$table"
for preset in "${presets[@]}"; do
    for precision in f32 bf16; do
        allowed=1e-3
        [[ $precision == bf16 ]] && allowed=3e-2
        log=$out/segment-$preset-$precision
        if ! "$FACTORSEG" bench segment --preset "$preset" --device "$device" --precision "$precision" --batch "$batches" \
            --seconds "$seconds" --parity "$allowed" --json >"$log.jsonl" 2>"$log.log"; then
            echo "| $preset | $precision | | failed: $(tail -n 1 "$log.log") | | | |" >>"$table"
            status=1
            continue
        fi
        while read -r line; do
            echo "| $preset | $precision | $(field batch "$line") | $(field least_milliseconds "$line") |" \
                "$(field median_milliseconds "$line") | $(field images_per_second "$line") | $(field first_milliseconds "$line") |" >>"$table"
        done <"$log.jsonl"
    done
done

echo >>"$table"
echo "Training:" >>"$table"
echo >>"$table"
echo "| network | precision | batch | images/s | input wait | forward | backward | peak host memory |" >>"$table"
echo "|---|---|---|---|---|---|---|---|" >>"$table"
# The CPU's kernels train in 32 bits.
precisions="f32 bf16"
[[ $device == cpu ]] && precisions=f32
for preset in "${presets[@]}"; do
    for precision in $precisions; do
        log=$out/train-$preset-$precision
        if line=$("$FACTORSEG" bench train --preset "$preset" --device "$device" --precision "$precision" \
            --batch-size "${TRAIN_BATCH:-128}" --steps "${TRAIN_STEPS:-10}" --json 2>"$log.log"); then
            echo "$line" >"$log.json"
            echo "| $preset | $precision | ${TRAIN_BATCH:-128} | $(field images_per_second "$line") | $(field input_wait "$line") |" \
                "$(field forward "$line") | $(field backward "$line") | $(field peak_memory_bytes "$line") |" >>"$table"
        else
            echo "| $preset | $precision | | failed: $(tail -n 1 "$log.log") | | | | |" >>"$table"
            status=1
        fi
    done
done
nvidia-smi --query-gpu=name,memory.used,memory.total --format=csv >"$out/memory.csv" 2>/dev/null || true

if [[ $device == cpu ]]; then
    :
elif "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    echo >>"$table"
    echo "PyTorch, the same network, milliseconds (eager, then torch.compile in bf16):" >>"$table"
    echo >>"$table"
    echo '```' >>"$table"
    for preset in "${presets[@]}"; do
        for batch in ${batches//,/ }; do
            for how in "" "--compile --bf16"; do
                # shellcheck disable=SC2086 # the options are words
                "$python" docs/bench/segment_pytorch.py --device cuda --preset "$preset" --batch "$batch" --seconds "$seconds" $how \
                    2>>"$out/pytorch.log" >>"$table" || status=1
            done
        done
    done
    echo '```' >>"$table"
else
    echo >>"$table"
    echo "$python has no torch with CUDA: PyTorch was not measured." >>"$table"
fi
cat "$table"
exit $status
