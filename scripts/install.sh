#!/usr/bin/env bash
# Builds and installs the plugin with its presets, the programs, their manual pages and shell completions.
#
#   scripts/install.sh                    for this user alone, below ~/.local
#   scripts/install.sh --uninstall        takes all of it away again
#   sudo PREFIX=/usr/local BUILT=target/release scripts/install.sh    for all users, what was built before
#
# PREFIX   holds bin/ and share/ (~/.local)
# DESTDIR  stands for /, for those who make packages
# BUILT    folder of programs and plugin that are built already
#
# Below a home the plugin goes to share/gstreamer-1.0/plugins, where GStreamer looks in ~/.local, else to the system's plugins.
set -euo pipefail
[[ -z ${BUILT:-} ]] || BUILT=$(realpath "$BUILT")
cd "$(dirname "$0")/.."
PREFIX=${PREFIX:-$HOME/.local} DESTDIR=${DESTDIR:-}
list=$DESTDIR$PREFIX/share/factorseg/installed

uninstall() {
    mapfile -t paths <"$list"
    # Folders are listed before what they hold, so backwards.
    for ((i = ${#paths[@]} - 1; i >= 0; i--)); do
        case ${paths[i]} in
        */) rmdir --ignore-fail-on-non-empty "$DESTDIR${paths[i]}" ;;
        *) rm -f "$DESTDIR${paths[i]}" ;;
        esac
    done
}
case "$# ${1:-}" in
"0 ") ;;
"1 --uninstall")
    [[ -e $list ]] || { echo "install: nothing is installed below $DESTDIR$PREFIX; name the PREFIX it was installed with" >&2; exit 1; }
    uninstall
    exit
    ;;
*) sed -n '2,/^set/s/^# \?//p' "$0" >&2; exit 2 ;;
esac

if [[ -z ${BUILT:-} ]]; then
    scripts/setup.sh
    # shellcheck source=features.sh
    . scripts/features.sh
    cargo build --release --locked -p factorseg-trainer -p factorseg-pipelines -p gst-plugin-factorseg \
        "${FEATURES[@]}" "${PLUGIN[@]}" --features factorseg-trainer/video
    BUILT=$(realpath "${CARGO_TARGET_DIR:-target}/release")
fi
case $PREFIX in
"$HOME"/*) plugins=$PREFIX/share/gstreamer-1.0/plugins presets=$PREFIX/share/gstreamer-1.0/presets ;;
*)
    plugins=$(pkg-config --variable=pluginsdir gstreamer-1.0)
    presets=$(pkg-config --variable=prefix gstreamer-1.0)/share/gstreamer-1.0/presets
    ;;
esac

stage=$(mktemp -d)
trap 'rm -r "$stage"' EXIT
for program in factorseg factorseg-pipeline; do
    install -D -s -m 755 "$BUILT/$program" "$stage$PREFIX/bin/$program"
    "$BUILT/$program" manual --prefix "$stage$PREFIX"
done
install -D -s -m 644 "$BUILT/libgstfactorseg.so" "$stage$plugins/libgstfactorseg.so"
install -D -m 644 plugin/presets/*.prs -t "$stage$presets"
install -D -m 644 /dev/null "$stage$PREFIX/share/factorseg/installed"

# What an earlier version had and this one has not must not stay.
[[ ! -e $list ]] || uninstall
made=()
while read -r kind path; do
    if [[ $kind == f ]]; then
        mode=644
        [[ ! -x $stage/$path ]] || mode=755
        install -m $mode "$stage/$path" "$DESTDIR/$path"
        made+=("/$path")
    elif [[ ! -d $DESTDIR/$path ]]; then
        install -d -m 755 "$DESTDIR/$path"
        made+=("/$path/")
    fi
done < <(cd "$stage" && find . -mindepth 1 -printf '%y %P\n')
printf '%s\n' "${made[@]}" >"$list"
echo "installed below $DESTDIR$PREFIX; the plugin is $DESTDIR$plugins/libgstfactorseg.so"
