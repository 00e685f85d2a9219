#!/usr/bin/env bash
# What each choice of the segmenter brings on stills and on video, beside its cost, as one Markdown table.
#
#   docs/bench/defaults.sh DATA [CHECKPOINT...]
#
# DATA as for scripts/evaluate.sh, unpacked. Stills: mean IoU of weizmann_horse, ecssd, pets3 and human. Video: J and F of DAVIS (EVERY
# frame, default 1; EVERY=4 is a quarter of the work). Cost: milliseconds of wall clock of a frame of 480p on one thread, scoring left out.
set -euo pipefail
data=$(realpath "${1:?usage: docs/bench/defaults.sh DATA [CHECKPOINT...]}")
checkpoints=("${@:2}")
source "$(dirname "$0")/../../scripts/program.sh"
exec python3 - "$FACTORSEG" "$data" "${EVERY:-1}" ${checkpoints[@]+"${checkpoints[@]}"} <<'PYTHON'
import json
import statistics
import subprocess
import sys
from pathlib import Path

program, data, every, *checkpoints = sys.argv[1:]
STILLS = ["weizmann_horse", "ecssd", "pets3", "human"]
ROWS = [
    ("as shipped", [], []),
    ("without the motion model", [], ["--no-motion-model"]),
    ("without the color model", ["--no-color-model"], []),
    ("the network alone", ["--no-color-model"], ["--no-motion-model"]),
    *((f"timestep {t}", ["--timestep", t], []) for t in ("5", "60", "150")),
    ("4 passes", ["--samples", "4"], []),
    ("the picture and its mirror image", ["--flip"], []),
    ("precision bf16", ["--precision", "bf16"], []),
    *((Path(file).stem if Path(file).stem != "model" else Path(file).parent.name, ["--model", file], []) for file in checkpoints),
]


def evaluate(what, *options):
    done = subprocess.run([program, "evaluate", what, *options, "--threads", "1", "--json"], stdout=subprocess.PIPE)
    return json.loads(done.stdout) if done.returncode == 0 else None


print("| | stills, IoU | DAVIS, J | F | J of frames 1 to 5 | ms a frame |\n|---|---|---|---|---|---|")
for name, options, of_video in ROWS:
    # What is done to video alone leaves stills as they were.
    stills = [evaluate("still", f"{data}/seg_64/{folder}", *options) for folder in STILLS if options or not of_video]
    video = evaluate("davis", f"{data}/DAVIS", "--every", every, *options, *of_video)
    if video is None or None in stills:
        print(f"defaults.sh: left out: {name}", file=sys.stderr)
        continue
    still = f"{statistics.mean(report['model']['iou'] for report in stills):.3f}" if stills else ""
    j, f = video["model"]["j"], video["model"]["f"]
    print(f"| {name} | {still} | {j['mean']:.3f} | {f['mean']:.3f} | {j['start']:.3f} | {video['milliseconds']:.1f} |", flush=True)
PYTHON
