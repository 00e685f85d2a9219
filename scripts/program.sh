# Sourced by scripts that run the program: FACTORSEG becomes its absolute path, and it is built with cargo where none is named.
# shellcheck shell=bash
here=$(pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ -z ${FACTORSEG:-} ]]; then
    # shellcheck source=features.sh
    . scripts/features.sh
    cargo build --release --locked --package factorseg-trainer "${FEATURES[@]}" --features factorseg-trainer/video
    FACTORSEG=${CARGO_TARGET_DIR:-target}/release/factorseg
fi
FACTORSEG=$(realpath "$FACTORSEG")
cd "$here"
