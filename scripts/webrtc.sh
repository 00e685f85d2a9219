#!/usr/bin/env bash
# Builds the plugin rswebrtc of GStreamer (webrtcsink, whepserversink), which Debian 12 does not have, and puts it where GStreamer looks
# without being told: `factorseg-pipeline live` then sends WebRTC.
set -euo pipefail

version=0.15.4

cd "$(dirname "$0")/.."
WEBRTC=1 scripts/setup.sh
folder=${CARGO_TARGET_DIR:-$PWD/target}/webrtc
plugin=$HOME/.local/share/gstreamer-1.0/plugins/libgstrswebrtc.so

# A crate of its own, outside of our workspace, that needs the plugin's and nothing else.
mkdir -p "$folder/src"
: > "$folder/src/lib.rs"
cat > "$folder/Cargo.toml" <<CRATE
[package]
name = "webrtc"
version = "0.0.0"
edition = "2024"

[dependencies]
gst-plugin-webrtc = { version = "=$version", default-features = false, features = ["rustls-ring", "whep"] }

[workspace]
CRATE
cargo build --release --manifest-path "$folder/Cargo.toml" --target-dir "$folder/target" -p gst-plugin-webrtc
install -D --mode=644 "$folder/target/release/libgstrswebrtc.so" "$plugin"
gst-inspect-1.0 "$plugin" >/dev/null
echo "webrtc: installed $plugin" >&2
