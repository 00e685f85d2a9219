#!/usr/bin/env bash
# Installs what the project needs on Debian 12 or newer, if it is missing. Called by the other scripts. MPI=1: with what the cargo
# feature `mpi` needs. TESTS=1: with what the tests of pipelines need. WEBRTC=1: with what scripts/webrtc.sh builds with, and what it
# takes to send WebRTC.
set -euo pipefail

minimum_rust=1.92

packages=(
    build-essential pkg-config ca-certificates unzip
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
    gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
)
[[ -n ${MPI:-} ]] && packages+=(libopenmpi-dev openmpi-bin libclang-dev)
[[ -n ${TESTS:-} ]] && packages+=(python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-rtsp-server-1.0 gstreamer1.0-rtsp xvfb)
[[ -n ${WEBRTC:-} ]] && packages+=(libgstreamer-plugins-bad1.0-dev gstreamer1.0-nice)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
    echo "setup: installing ${missing[*]}" >&2
    as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || { echo "setup: run as root, or install: ${missing[*]}" >&2; exit 1; }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi

command -v cargo >/dev/null || { echo "setup: cargo is missing; install Rust $minimum_rust or newer, see https://rustup.rs" >&2; exit 1; }
rust=$(rustc --version | cut -d' ' -f2)
if ! printf '%s\n%s\n' "$minimum_rust" "$rust" | sort -C -V; then
    echo "setup: Rust $rust is too old, $minimum_rust is needed; run 'rustup update', see https://rustup.rs" >&2
    exit 1
fi
