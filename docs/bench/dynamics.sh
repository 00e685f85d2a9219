#!/usr/bin/env bash
# What masks become when they are trained in one way or another: small runs, a Markdown line each.
#
#   docs/bench/dynamics.sh HORSES RUNS [ROW...]
#
# HORSES holds images/ and masks/ (the 328 Weizmann horses); training sees the images alone. RUNS keeps the runs: a row that is
# there is only scored again, and rows that go on from another need it. Three regions, 32x32 pixels, C = 16, batches of 16,
# about half an hour of one core for all rows.
#
# Environment: FACTORSEG (a built program; default: built with cargo), SEED (default 0), SCALE (of all numbers of steps, in
# percent; default 100).
set -euo pipefail
horses=$(realpath "${1:?usage: docs/bench/dynamics.sh HORSES RUNS [ROW...]}")
runs=$(realpath -m "${2:?usage: docs/bench/dynamics.sh HORSES RUNS [ROW...]}")
shift 2
rows=("$@")
source "$(dirname "$0")/../../scripts/program.sh"
mkdir -p "$runs"
network="--regions 3 --image-size 32 --preset tiny --base-channels 16 --channel-multipliers 1,2,3 --residual-blocks 1 --attention-resolutions 8"

# row NAME START STEPS TIMESTEPS PHASE: trains, from scratch or from the run START, a phase with the lines PHASE, and prints a
# line: the last loss, then figures of the masks and scores on the horses.
row() {
    local name=$1 start=$2 steps=$(($3 * ${SCALE:-100} / 100)) timesteps=$4 phase=$5
    [[ ${#rows[@]} -eq 0 || " ${rows[*]} " == *" $name "* ]] || return 0
    local run=$runs/$name-${SEED:-0} from=()
    [[ $start == - ]] || from=(--init-from "$runs/$start-${SEED:-0}/model.safetensors")
    if [[ ! -f $run/model.safetensors ]]; then
        printf '%s\n' "name = \"$name\"" 'description = "A row of the table of training dynamics"' 'batch_size = 16' \
            'ema_rate = 0.99' '[augmentation]' 'crop = "random"' 'crop_scale = 1.25' '[[phases]]' "name = \"$name\"" \
            "steps = $steps" "timesteps = [$timesteps]" 'learning_rate = 2e-4' "$phase" >"$runs/$name.toml"
        # shellcheck disable=SC2086 # the options are words
        "$FACTORSEG" train "$horses/images" --run "$run" --recipe "$runs/$name.toml" $network "${from[@]}" \
            --seed "${SEED:-0}" --device cpu --threads 1 --input-threads 1 --save-every 100000 --sample-every 0 \
            >"$runs/$name-${SEED:-0}.log" 2>&1
    fi
    "$FACTORSEG" evaluate still "$horses" --model "$run/model.safetensors" --color-model false --device cpu --threads 1 \
        --json 2>/dev/null >"$run/scores.json"
    python3 - "$name" "$steps" "$run" <<'PYTHON'
import json, sys

name, steps, run = sys.argv[1:]
report = json.load(open(f"{run}/scores.json"))
lines = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
loss = [line["loss"] for line in lines if line["kind"] != "checkpoint"][-1]
masks, model = report["masks"], report["model"]
print(
    f"| {name} | {steps} | {loss:.3f} | {'/'.join(format(share, '.2f') for share in masks['shares'])} "
    f"| {masks['max_probability']:.2f} | {masks.get('positional', 0):.2f} | {model['iou']:.3f} | {model['accuracy']:.3f} |",
    flush=True,
)
PYTHON
}

echo "| row | steps | loss | region shares | mean max-probability | positional share | IoU | accuracy |"
echo "|---|---|---|---|---|---|---|---|"
# Masks from the first step.
row start-1000 - 300 "1, 1000" 'mask_head = { released = {} }'
row start-300 - 300 "1, 300" 'mask_head = { released = {} }'
row start-200 - 300 "1, 200" 'mask_head = { released = {} }'
row cooled - 1500 "1, 300" 'mask_head = { released = {} }
masks = { temperature = { from = 30.0, to = 1.0 } }'
row bands start-200 1500 "1, 100" 'mask_head = "trained"'
# A denoiser first.
row uniform - 1500 "1, 1000" 'mask_head = "uniform"'
row kick uniform 1200 "1, 100" 'mask_head = { released = { std = 0.02 } }'
row faster kick 550 "1, 100" 'mask_head = "trained"
mask_generator_factor = 4.0'
# What makes them commit?
row annealed faster 600 "1, 100" 'mask_head = "trained"
mask_generator_factor = 4.0
masks = { temperature = { from = 1.0, to = 0.05 } }'
row hard faster 110 "1, 100" 'mask_head = "trained"
mask_generator_factor = 4.0
masks = { hard = 1.0 }'
row normalised faster 600 "1, 100" 'mask_head = "trained"
mask_generator_factor = 4.0
masks = { normalise = "batch", temperature = { from = 1.0, to = 0.3 } }'
row normalised-hard faster 780 "1, 100" 'mask_head = "trained"
mask_generator_factor = 4.0
masks = { normalise = "batch", hard = 1.0, temperature = { from = 0.5, to = 0.5 } }'
row gumbel-hard faster 300 "1, 100" 'mask_head = "trained"
mask_generator_factor = 4.0
masks = { normalise = "batch", hard = 1.0, gumbel = 1.0 }'
