#!/usr/bin/env bash
# Trains a checkpoint on a machine that is lent for minutes at a time: every call goes on where the last one stopped.
#
#   scripts/gpu-train.sh PICTURES RUN             PICTURES: a folder, or a .zip of one
#   SECONDS_EACH=480 DEVICE=cuda scripts/gpu-train.sh animals59.zip runs/small
#   PRESET=paper-64 RECIPE=mine.toml scripts/gpu-train.sh PICTURES RUN --save-every 200   # ... `factorseg train`'s options
#
# Environment: SECONDS_EACH (of this call, default 480), DEVICE (default cuda), PRESET (default
# small), RECIPE (default competition), FACTORSEG (a built program; default: built
# with cargo), OUT (where the checkpoint is left, default RUN/shards).
# Leaves OUT/model.safetensors.000, .001, ... of 16 MB; `cat OUT/model.safetensors.*` joins them.
set -euo pipefail
(($# >= 2)) || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
pictures=$(realpath "$1") run=$(realpath -m "$2")
shift 2
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-480} device=${DEVICE:-cuda} out=$(realpath -m "${OUT:-$run/shards}")
if [[ -z ${FACTORSEG:-} ]]; then
    scripts/setup.sh
    cargo build --release --locked --package factorseg-trainer
    FACTORSEG=target/release/factorseg
fi
if [[ $pictures == *.zip ]]; then
    folder=$run.pictures
    # Another name until it is whole, so that a call that is cut off leaves no half of it behind.
    if [[ ! -d $folder ]]; then
        rm -rf "$folder.part"
        mkdir -p "$folder.part"
        unzip -q "$pictures" -d "$folder.part"
        mv "$folder.part" "$folder"
    fi
    pictures=$folder
    # The folder whose sub-folders are the classes.
    while entries=("$pictures"/*) && ((${#entries[@]} == 1)) && [[ -d ${entries[0]} ]]; do
        pictures=${entries[0]}
    done
fi
# 130: stopped by the time limit, state saved.
status=0
if [[ -f $run/config.json ]]; then
    timeout --signal=INT --kill-after=60 "$seconds" "$FACTORSEG" resume "$run" --device "$device" || status=$?
else
    timeout --signal=INT --kill-after=60 "$seconds" "$FACTORSEG" train "$pictures" --run "$run" --device "$device" \
        --preset "${PRESET:-small}" --recipe "${RECIPE:-competition}" "$@" || status=$?
fi
((status == 0 || status == 124 || status == 130)) || exit "$status"
mkdir -p "$out"
rm -f "$out"/model.safetensors.*
"$FACTORSEG" export "$run" --out "$out/whole.safetensors" --type bf16
split --bytes=16MB --numeric-suffixes --suffix-length=3 "$out/whole.safetensors" "$out/model.safetensors."
rm "$out/whole.safetensors"
if ((status == 0)); then echo "gpu-train: done, $out"; else echo "gpu-train: stopped after $seconds s; call again to go on, $out"; fi
