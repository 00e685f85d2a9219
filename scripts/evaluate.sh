#!/usr/bin/env bash
# Scores of a checkpoint on all data sets with masks, as Markdown tables.
#
#   scripts/evaluate.sh DATA                               the embedded checkpoint
#   scripts/evaluate.sh DATA runs/mine/model.safetensors   another
#
# DATA holds seg-64-still.zip and davis2016-480p-dev.zip, or what is in them unpacked: seg_64/NAME/images with masks, and
# DAVIS/JPEGImages/480p with annotations. Zips are unpacked to a temporary folder. What is not there is left out and named.
#
# Environment: FACTORSEG (a built program; default: built with cargo), EVERY (of the video's frames, default 1), SHEET (a
# picture of first and middle frames to write), SETS (names of still sets), OPTIONS (for both commands, such as
# "--device cpu --threads 1 --flip").
set -euo pipefail
data=$(realpath "${1:?usage: scripts/evaluate.sh DATA [CHECKPOINT]}")
model=()
[[ -z ${2:-} ]] || model=(--model "$(realpath "$2")")
source "$(dirname "$0")/program.sh"
read -ra options <<<"${OPTIONS:-}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Prints the folder that holds $1, unpacked from the zip $2 if need be; nothing if neither is there.
find_data() {
    if [[ -d $data/$1 ]]; then
        echo "$data/$1"
    elif [[ -f $data/$2 ]]; then
        python3 -m zipfile -e "$data/$2" "$scratch" && echo "$scratch/$1"
    else
        echo "evaluate.sh: neither $1 nor $2 in $data" >&2
    fi
}
still=$(find_data seg_64 seg-64-still.zip)
if [[ -n $still ]]; then
    folders=()
    for name in ${SETS:-weizmann_horse ecssd pets3 human celebamask_test}; do
        if [[ -d $still/$name/images ]]; then
            folders+=("$still/$name")
        else
            echo "evaluate.sh: no $name in $still" >&2
        fi
    done
    "$FACTORSEG" evaluate still "${folders[@]}" "${model[@]}" "${options[@]}" --markdown
fi
davis=$(find_data DAVIS davis2016-480p-dev.zip)
if [[ -n $davis ]]; then
    echo
    every=(--every "${EVERY:-1}")
    "$FACTORSEG" evaluate davis "$davis" "${model[@]}" "${options[@]}" "${every[@]}" ${SHEET:+--sheet "$SHEET"} --markdown
    # Each frame on its own: the network with the picture's colours, and the network.
    for alone in "" --no-color-model; do
        echo
        "$FACTORSEG" evaluate davis "$davis" "${model[@]}" "${options[@]}" "${every[@]}" --no-motion-model $alone --markdown
    done
fi
