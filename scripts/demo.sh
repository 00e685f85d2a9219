#!/usr/bin/env bash
# Writes demo/demo.mp4, a video with its regions drawn on it, and demo/poster.png, one frame of it.
#
#   scripts/demo.sh                     the built-in clip, five seconds of "Big Buck Bunny"
#   VIDEO=holiday.mp4 scripts/demo.sh   your own video, or a folder of pictures
#
# It is built with CUDA where an NVIDIA driver is found; CUDA=1 builds with it anyway, CUDA=0 without it.
# Further arguments go to factorseg-overlay, such as --set overlay=contour.
set -euo pipefail
here=$(pwd)
cd "$(dirname "$0")/.."
scripts/setup.sh

# shellcheck source=features.sh
. scripts/features.sh
cargo build --release --locked --package factorseg-pipelines "${FEATURES[@]}" "${PLUGIN[@]}"

mkdir -p demo
input=()
if [[ -n ${VIDEO:-} ]]; then
    [[ $VIDEO == /* ]] || VIDEO=$here/$VIDEO
    input=("$VIDEO")
fi
exec "${CARGO_TARGET_DIR:-target}/release/factorseg-overlay" "${input[@]}" --output demo/demo.mp4 --poster demo/poster.png \
    --set sharpness=4 --set refine=guided --set colors=e69f00,ff2d78 --set alpha=0.55 "$@"
