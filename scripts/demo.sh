#!/usr/bin/env bash
# Writes demo/demo.mp4, a video with its regions drawn on it, and demo/poster.png, one frame of it.
#
#   scripts/demo.sh                     the built-in clip, five seconds of "Big Buck Bunny"
#   VIDEO=holiday.mp4 scripts/demo.sh   your own video, or a folder of pictures
#
# It is built with CUDA where an NVIDIA driver is found; CUDA=1 builds with it anyway, CUDA=0 without it.
# Further arguments go to `factorseg-pipeline overlay`, such as overlay=contour.
set -euo pipefail
here=$(pwd)
cd "$(dirname "$0")/.."
scripts/setup.sh

# shellcheck source=features.sh
. scripts/features.sh
cargo build --release --locked --package factorseg-pipelines "${FEATURES[@]}" "${PLUGIN[@]}"

mkdir -p demo
input=clip
if [[ -n ${VIDEO:-} ]]; then
    [[ $VIDEO == /* ]] && input=$VIDEO || input=$here/$VIDEO
fi
exec "${CARGO_TARGET_DIR:-target}/release/factorseg-pipeline" overlay --in "$input" --out demo/demo.mp4 --poster demo/poster.png \
    preset="bright tint" "$@"
