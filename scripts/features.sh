# Sourced by scripts that build: FEATURES becomes the options of cargo for what this machine can use, with CUDA where an NVIDIA
# driver is found. CUDA=1 builds with it anyway, CUDA=0 without it. PLUGIN becomes those of the plugin beside them: analytics
# metadata where GStreamer has them. TESTED becomes what the tests build.
# shellcheck shell=bash
has_nvidia_driver() {
    [[ -e /proc/driver/nvidia/version ]] || command -v nvidia-smi >/dev/null \
        || [[ $(PATH=$PATH:/sbin ldconfig -p 2>/dev/null) == *libcuda.so.1* ]]
}
case ${CUDA:-} in
    '') if has_nvidia_driver; then cuda=1 why="an NVIDIA driver is here"; else cuda=0 why="no NVIDIA driver is here"; fi ;;
    0 | 1) cuda=$CUDA why="CUDA=$CUDA" ;;
    *) echo "CUDA is 1, 0 or not set, not '$CUDA'" >&2; exit 1 ;;
esac
if ((cuda)); then
    echo "building with CUDA ($why); CUDA=0 builds for CPUs alone, much faster" >&2
    FEATURES=()
else
    echo "building for CPUs alone ($why); CUDA=1 builds with CUDA" >&2
    FEATURES=(--no-default-features)
fi
PLUGIN=()
if pkg-config --atleast-version=1.26 gstreamer-analytics-1.0 2>/dev/null; then
    echo "building the plugin with the feature v1_26 (GStreamer's analytics are here)" >&2
    PLUGIN=(--features gst-plugin-factorseg/v1_26)
fi
# What tests build: everything but the network in burn, which is built by itself for the CPU. One list, as another would build most of it anew.
# shellcheck disable=SC2034
TESTED=(--release --locked --workspace --exclude factorseg-network "${PLUGIN[@]}"
    --features factorseg-trainer/video,factorseg-trainer/mpi,factorseg-trainer/object-store)
