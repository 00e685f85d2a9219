#!/usr/bin/env bash
# A video file to an overlay video.
#
#   pipelines/video.sh holiday.mp4 overlay.mp4 [property=value ...]
set -euo pipefail
input=${1:?usage: pipelines/video.sh INPUT OUTPUT.mp4 [property=value ...]}
output=${2:?usage: pipelines/video.sh INPUT OUTPUT.mp4 [property=value ...]}
shift 2
export GST_PLUGIN_PATH=${GST_PLUGIN_PATH:-$(dirname "$0")/../target/release}
exec gst-launch-1.0 -e filesrc location="$input" ! decodebin ! videoconvert \
    ! factorseg mode=every-frame "$@" \
    ! videoconvert ! x264enc ! mp4mux ! filesink location="$output"
