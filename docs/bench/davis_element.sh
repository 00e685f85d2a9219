#!/usr/bin/env bash
# What a user of the element gets: the sequences of DAVIS through gst-launch-1.0, masks of the frames' size as pictures,
# and J and F of those by davis_scores.py.
#
#   docs/bench/davis_element.sh DAVIS refine=none
#   docs/bench/davis_element.sh DAVIS refine=guided smoothing=0.5
#
# Environment: PYTHON (with numpy and opencv), GST_PLUGIN_PATH (default: target/release).
set -euo pipefail
root=${1:?usage: docs/bench/davis_element.sh DAVIS [property=value ...]}
shift
here=$(dirname "$0")
export GST_PLUGIN_PATH=${GST_PLUGIN_PATH:-$here/../../target/release}
masks=$(mktemp -d)
trap 'rm -rf "$masks"' EXIT
for folder in "$root"/JPEGImages/480p/*/; do
    name=$(basename "$folder")
    mkdir "$masks/$name"
    gst-launch-1.0 -q multifilesrc location="$folder/%05d.jpg" caps=image/jpeg,framerate=24/1 ! jpegdec ! videoconvert \
        ! factorseg name=s mode=every-frame overlay=none mask_0::format=foreground-hard "$@" s.src ! queue ! fakesink \
        s.mask_0 ! queue ! pngenc compression-level=1 ! multifilesink location="$masks/$name/%05d.png"
done
"${PYTHON:-python3}" "$here/davis_scores.py" "$root" "$masks"
