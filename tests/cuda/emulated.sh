# Sourced by the scripts beside it: programs that are started then compute on the emulated device. Builds come before: a CUDA_PATH that
# changes has most of burn built again.
#
# Environment: FAKECUDA_* (libcuda.cpp), FAKECUDA_CACHE (compiled kernels, default target/fakecuda).
# shellcheck shell=bash
CUDA_PATH=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
make --silent -C "$CUDA_PATH"
export CUDA_PATH LD_LIBRARY_PATH=$CUDA_PATH/emu FAKECUDA_INCLUDE=$CUDA_PATH/include FAKECUDA_CC=${FAKECUDA_CC:-70} FAKECUDA_QUIET=1
export FAKECUDA_CACHE=${FAKECUDA_CACHE:-${CARGO_TARGET_DIR:-$CUDA_PATH/../../target}/fakecuda} CUBECL_AUTOTUNE_LEVEL=minimal
# What tuning finds here is of no use to a real device.
export XDG_CACHE_HOME=$FAKECUDA_CACHE/tuning
mkdir -p "$FAKECUDA_CACHE"

# Pictures to train on, in the folder $1.
make_pictures() {
    mkdir "$1"
    gst-launch-1.0 -q videotestsrc pattern=smpte motion=sweep num-buffers=8 ! video/x-raw,format=RGB,width=20,height=20 ! pngenc ! \
        multifilesink location="$1/%d.png"
}

# A recipe in the file $1 for $3 steps with micro-batches of $2: the phase in which all parts learn.
make_recipe() {
    cat >"$1" <<END
name = "all-parts"
batch_size = 4
micro_batch = $2
ema_rate = 0.99
label_dropout = 0.0
gradient_clip = 1.0
[[phases]]
name = "release"
steps = $3
timesteps = [1, 100]
learning_rate = 1e-3
mask_head = { released = { std = 0.05 } }
END
}

# Options of `factorseg train` for the smallest network that has every part.
smallest=(--preset tiny --image-size 8 --base-channels 8 --channel-multipliers 1,2 --residual-blocks 1 --attention-resolutions 4
    --held-out 0 --seed 3 --log-every 1 --device cuda)

# The weights of the checkpoint $1, without the header, whose order is not fixed.
weights() {
    tail -c "+$(($(od -An -tu8 -N8 "$1") + 9))" "$1"
}
