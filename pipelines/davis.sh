#!/usr/bin/env bash
# A folder of numbered pictures (a DAVIS sequence) to an overlay video at 24 frames per second.
# Width and height must be even for x264enc.
#
#   pipelines/davis.sh DAVIS/JPEGImages/480p/dog overlay.mp4 [property=value ...]
set -euo pipefail
folder=${1:?usage: pipelines/davis.sh FOLDER OUTPUT.mp4 [property=value ...]}
output=${2:?usage: pipelines/davis.sh FOLDER OUTPUT.mp4 [property=value ...]}
shift 2
export GST_PLUGIN_PATH=${GST_PLUGIN_PATH:-$(dirname "$0")/../target/release}
exec gst-launch-1.0 -e multifilesrc location="$folder/%05d.jpg" caps=image/jpeg,framerate=24/1 ! jpegdec \
    ! videoconvert ! factorseg mode=every-frame "$@" \
    ! videoconvert ! x264enc ! mp4mux ! filesink location="$output"
