#!/usr/bin/env bash
# What a frame costs in the element, the network included: milliseconds of a core, by size, format and overlay.
#
#   docs/bench/element.sh                                   # the video of pipelines/media
#   OVERLAYS="tint none" FORMATS=I420 docs/bench/element.sh my.mp4
#
# Raw frames are read from a file, so that nothing is decoded. Counted is the process's user and system time, the least of ROUNDS
# runs, less that of the same pipeline without the element, and without the first frame, which loads the model.
#
# Environment: GST_PLUGIN_PATH (default: target/release), SIZES, FORMATS, OVERLAYS, FRAMES, ROUNDS, OPTIONS (more properties of the
# element, such as "precision=f32 refine=guided").
set -euo pipefail
cd "$(dirname "$0")/../.."
video=$(realpath "${1:-pipelines/media/bigbuckbunny.mp4}")
export GST_PLUGIN_PATH=${GST_PLUGIN_PATH:-${CARGO_TARGET_DIR:-target}/release}
frames=${FRAMES:-150}
read -ra options <<<"${OPTIONS:-}"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export GST_REGISTRY=$folder/registry
launch() { gst-launch-1.0 -q "$@" >/dev/null; }

# Milliseconds of a core that the pipeline `read the frames of $1 x $2 in $3 ! $4...` takes, the least of the rounds.
processor_time() {
    local width=$1 height=$2 format=$3 TIMEFORMAT="%U %S"
    shift 3
    for _ in $(seq "${ROUNDS:-3}"); do
        { time launch filesrc location="$folder/frames" ! rawvideoparse format="${format,,}" width="$width" height="$height" \
            framerate=30/1 ! "$@" ! fakesink 2>&3; } 3>&2 2>&1
    done | awk '{ t = ($1 + $2) * 1000; if (NR == 1 || t < least) least = t } END { print least }'
}

sed -n 's/^model name.*: /Processor: /p' /proc/cpuinfo | head -1
echo
echo "| size | format | overlay | ms of a core | frames a second on two cores |"
echo "|---|---|---|---|---|"
for size in ${SIZES:-854x480 1920x1080 3840x2160}; do
    width=${size%x*} height=${size#*x}
    for format in ${FORMATS:-I420 NV12 RGB}; do
        launch filesrc location="$video" ! decodebin ! videoconvert ! videoscale ! identity eos-after="$frames" ! \
            "video/x-raw,format=$format,width=$width,height=$height" ! filesink location="$folder/frames"
        without=$(processor_time "$width" "$height" "$format" identity)
        first=$(processor_time "$width" "$height" "$format" identity eos-after=2 ! factorseg "${options[@]}")
        for overlay in ${OVERLAYS:-tint none}; do
            all=$(processor_time "$width" "$height" "$format" factorseg overlay="$overlay" "${options[@]}")
            awk -v cells="$size | $format | $overlay" -v all="$all" -v first="$first" -v without="$without" -v frames="$frames" \
                'BEGIN { ms = (all - first - without) / (frames - 1); printf "| %s | %.1f | %.0f |\n", cells, ms, 2000 / ms }'
        done
    done
done
