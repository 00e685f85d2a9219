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

has_nvidia_driver() {
    [[ -e /proc/driver/nvidia/version ]] || command -v nvidia-smi >/dev/null \
        || [[ $(PATH=$PATH:/sbin ldconfig -p 2>/dev/null) == *libcuda.so.1* ]]
}
case ${CUDA:-} in
    '') if has_nvidia_driver; then cuda=1 why="an NVIDIA driver is here"; else cuda=0 why="no NVIDIA driver is here"; fi ;;
    0 | 1) cuda=$CUDA why="CUDA=$CUDA" ;;
    *) echo "demo: CUDA is 1, 0 or not set, not '$CUDA'" >&2; exit 1 ;;
esac
if ((cuda)); then
    echo "demo: building with CUDA ($why); CUDA=0 scripts/demo.sh builds for CPUs alone, much faster" >&2
    features=()
else
    echo "demo: building for CPUs alone ($why); CUDA=1 scripts/demo.sh builds with CUDA" >&2
    features=(--no-default-features)
fi
cargo build --release --locked --package factorseg-pipelines "${features[@]}"

mkdir -p demo
input=()
if [[ -n ${VIDEO:-} ]]; then
    [[ $VIDEO == /* ]] || VIDEO=$here/$VIDEO
    input=("$VIDEO")
fi
exec "${CARGO_TARGET_DIR:-target}/release/factorseg-overlay" "${input[@]}" --output demo/demo.mp4 --poster demo/poster.png \
    --set sharpness=4 --set refine=guided --set colors=e69f00,ff2d78 --set alpha=0.55 "$@"
