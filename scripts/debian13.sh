#!/usr/bin/env bash
# Runs a command in a Debian 13 beside this system: its GStreamer is 1.26, which the plugin's feature v1_26 needs. Must be
# root. The first run fills target/debian13 (1.6 GB); source tree and Rust are this system's.
#
#   scripts/debian13.sh                   lints and tests the plugin with the feature v1_26
#   scripts/debian13.sh COMMAND ...       runs the command in the source tree
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=debian.sh
. scripts/debian.sh
root=$PWD/target/debian13
debian trixie "$root"
rustup=${RUSTUP_HOME:-$HOME/.rustup} cargo=${CARGO_HOME:-$HOME/.cargo}
for directory in "$PWD" "$rustup" "$cargo" /dev /proc; do
    mkdir -p "$root$directory"
    mount --bind "$directory" "$root$directory"
done
cp /etc/resolv.conf "$root/etc/resolv.conf"
if [[ ! -e $root/ready ]]; then
    packages=$(sed -n '/^packages=(/,/^)/p' scripts/setup.sh | grep '^    ')
    chroot "$root" apt-get update -qq >&2
    # shellcheck disable=SC2086 # one word a package
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -qq -y --no-install-recommends \
        $packages libgstreamer-plugins-bad1.0-dev >&2
    touch "$root/ready"
fi

export CARGO_TARGET_DIR=$PWD/target/debian13-build
if (($# == 0)); then
    options="--release --locked -p gst-plugin-factorseg --no-default-features --features v1_26"
    set -- sh -ec "cargo clippy $options --all-targets -- -D warnings; cargo test $options"
fi
# shellcheck disable=SC2016 # for the shell in there
chroot "$root" sh -c 'cd "$0" && exec "$@"' "$PWD" "$@"
