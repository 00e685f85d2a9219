#!/usr/bin/env bash
# Compiles every kernel of a segmentation pass (f32, bf16) and of a training step with NVIDIA's own run-time compiler, for several
# architectures, without a GPU: launches do nothing (README.md). Prints kernels, failures and the compiler's seconds.
#
#   tests/cuda/nvrtc.sh            sm_80, sm_90a, sm_100a
#   tests/cuda/nvrtc.sh 90         one of them
#
# Environment: FACTORSEG (a program built with CUDA; default: built with cargo), CUDA_PATH (a CUDA 12.8 or newer; default: its
# packages from PyPI), OUT (logs, default target/nvrtc).
set -euo pipefail
cd "$(dirname "$0")/../.."
make --silent -C tests/cuda
out=${OUT:-target/nvrtc}
mkdir -p "$out"
if [[ -z ${CUDA_PATH:-} ]]; then
    [[ -d $out/venv ]] || python3 -m venv "$out/venv"
    "$out/venv/bin/pip" install --quiet nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-crt nvidia-cuda-cccl
    CUDA_PATH=$(realpath "$out"/venv/lib/python3*/site-packages/nvidia/cu13)
fi
if [[ -z ${FACTORSEG:-} ]]; then
    cargo build --release --locked -p factorseg-trainer
    FACTORSEG=${CARGO_TARGET_DIR:-target}/release/factorseg
fi
nvrtc=$(printf '%s\n' "$CUDA_PATH"/lib*/libnvrtc.so.1[23] | tail -n 1)
export CUDA_PATH LD_LIBRARY_PATH=$PWD/tests/cuda/lib:$(dirname "$nvrtc") FAKECUDA_NVRTC=$nvrtc FAKECUDA_QUIET=1
# The compiler may be newer than any driver that the stand-in knows.
export FAKECUDA_DRIVER=${FAKECUDA_DRIVER:-99000}
export CUBECL_AUTOTUNE_LEVEL=${CUBECL_AUTOTUNE_LEVEL:-minimal}
echo "| architecture | what | kernels | not compiled | seconds in the compiler |"
echo "|---|---|---|---|---|"
(($#)) || set -- 80 90 100
wrong=0
for architecture in "$@"; do
    while read -r what arguments; do
        log=$out/$what-$architecture.log
        rm -f "$log"
        # What tuning found for zeros must not be kept.
        # shellcheck disable=SC2086 # the arguments are words
        FAKECUDA_CC=$architecture FAKECUDA_LOG=$log XDG_CACHE_HOME=$(mktemp -d) "$FACTORSEG" bench $arguments --device cuda \
            >"$out/$what-$architecture.out" 2>&1 || { wrong=1; echo "$what for sm_$architecture: $(tail -n 1 "$out/$what-$architecture.out")" >&2; }
        # Without the kernel of the preflight, which has no name here.
        awk -v row="| sm_$architecture | $what |" '/COMPILED unknown/ { next } /^COMPILED/ { all++; seconds += $4 } /^NOT COMPILED/ { all++; failed++; seconds += $5 }
            END { printf "%s %d | %d | %.0f |\n", row, all, failed, seconds }' "$log"
    done <<'END'
segment-f32 segment --precision f32 --warm
segment-bf16 segment --precision bf16 --warm
train train --preset tiny --recipe competition --batch-size 2 --steps 1 --warmup 0
END
done
exit $wrong
