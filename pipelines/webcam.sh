#!/usr/bin/env bash
# The webcam, live on the screen: the picture never waits for the network.
#
#   pipelines/webcam.sh [property=value ...]
set -euo pipefail
export GST_PLUGIN_PATH=${GST_PLUGIN_PATH:-$(dirname "$0")/../target/release}
exec gst-launch-1.0 v4l2src ! videoconvert ! factorseg mode=latest "$@" ! videoconvert ! autovideosink
