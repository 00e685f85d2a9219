#!/usr/bin/env bash
# Writes demo/demo.mp4, a video with its regions drawn on it, and demo/poster.png, one frame of it.
#
#   scripts/demo.sh                     a clip over the built-in picture
#   VIDEO=holiday.mp4 scripts/demo.sh   your own video, or a folder of pictures
#
# Further arguments go to factorseg-overlay, such as --set overlay=contour.
set -euo pipefail
here=$(pwd)
cd "$(dirname "$0")/.."
scripts/setup.sh
cargo build --release --locked --package factorseg-pipelines
mkdir -p demo
input=()
if [[ -n ${VIDEO:-} ]]; then
    [[ $VIDEO == /* ]] || VIDEO=$here/$VIDEO
    input=("$VIDEO")
fi
exec target/release/factorseg-overlay "${input[@]}" --output demo/demo.mp4 --poster demo/poster.png --poster-frame 3 \
    --set sharpness=4 --set refine=guided --set alpha=0.7 "$@"
