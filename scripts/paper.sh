#!/usr/bin/env bash
# Trains, draws and scores what Tables 1 to 6 and Figures 7 to 12 of the paper show, on the sets at hand, and puts the figures
# into docs/paper.md. What is done is not done again: start it again after Ctrl-C or a crash, and it goes on.
#
#   scripts/paper.sh DATA                      an hour or two of one core: 32 pixels, 16 channels
#   scripts/paper.sh DATA --scale smoke        a minute of processor time, to see that all of it runs: 16 pixels, 8 channels, 66 steps
#   scripts/paper.sh DATA --scale paper        the paper's own: 64 pixels, 128 channels, 8 or 32 GPUs under MPI, its data sets
#   scripts/paper.sh DATA --scale paper --print    says what would run
#
# DATA holds seg-64-still.zip and imagenet200-64-train.zip, unpacked or not; for --scale paper flowers, CUB_200_2011, ffhq,
# CelebAMask-HQ, imagenet and PixelImageNet (images and masks, a folder for each class).
#
# Environment: FACTORSEG (a built program; default: built with cargo), RUNS (default: runs/paper-SCALE), THREADS (default 1),
# INCEPTION (weights of pytorch-fid; without them there is no FID); of --scale paper GPUS (default 8; the paper took 32 for ImageNet and
# for 128 pixels) and PRESET (default paper-64; or paper-128).
set -euo pipefail
usage="usage: scripts/paper.sh DATA [--scale small|smoke|paper] [--print]"
data=$(realpath "${1:?$usage}")
shift
scale=small print=
while (($#)); do
    case $1 in
        --scale) scale=${2:?$usage} && shift 2 ;;
        --print) print=1 && shift ;;
        *) echo "$usage" >&2 && exit 1 ;;
    esac
done
if [[ -n $print ]]; then
    FACTORSEG=factorseg
else
    source "$(dirname "$0")/program.sh"
fi
root=$(realpath "$(dirname "$0")/..")
page=$root/docs/paper.md images=$root/docs/images/paper
runs=$(realpath -m "${RUNS:-$root/runs/paper-$scale}")
device=(--device cpu --threads "${THREADS:-1}")
launch=()
segment=("${device[@]}" --paper)
draw=(--sampler ddim --steps 50)
many=100
network=(--preset tiny)
case $scale in
    small) steps=6600 ;;
    smoke)
        steps=66 many=10 segment+=(--limit 50) images=$runs/figures
        network+=(--image-size 16 --base-channels 8 --channel-multipliers 1,2)
        ;;
    paper)
        steps=50000 many=50000
        network=(--preset "${PRESET:-paper-64}")
        device=(--device cuda)
        segment=(--device cuda --paper)
        draw=()
        launch=(mpirun -n "${GPUS:-8}" --bind-to none)
        ;;
    *) echo "$usage" >&2 && exit 1 ;;
esac

[[ -n $print ]] || mkdir -p "$runs/results" "$images"

# Which set stands in each table, what is trained on, and how it is scored.
if [[ $scale == paper ]]; then
    table1=$data/flowers pictures1=$data/flowers/jpg
    table2=$data/CUB_200_2011 pictures2=$data/CUB_200_2011/images
    table3=$data/CelebAMask-HQ pictures3=$data/ffhq supervised3=$data/CelebAMask-HQ
    table4=$data/PixelImageNet pictures4=$data/imagenet classes=$data/imagenet
    parts=() labels='[self_training.labels]
classes = ["skin=1-12", "hair=13"]'
    conditional=(--class-by-folder)
else
    for part in seg-64-still.zip:seg_64 imagenet200-64-train.zip:imagenet200_64; do
        if [[ -z $print && ! -d $data/${part#*:} && ! -d $runs/data/${part#*:} ]]; then
            if [[ ! -e $data/${part%:*} ]]; then
                echo "paper.sh: $data has neither ${part#*:} nor ${part%:*}" >&2
                exit 1
            fi
            python3 -m zipfile -e "$data/${part%:*}" "$runs/data"
        fi
    done
    still=$runs/data/seg_64 classes=$runs/data/classes
    [[ ! -d $data/seg_64 ]] || still=$data/seg_64
    table1=$still/weizmann_horse pictures1=$table1/images
    table2=$still/pets3 pictures2=$table2/images
    table3=$still/celebamask_test pictures3=$still/celebamask_train/images supervised3=$still/celebamask_train
    table4=$still/ecssd pictures4=$table4/images
    parts=(--maps parts19 --class-of skin=1-12 --class-of hair=13)
    labels='[self_training.labels]
maps = "parts19"
classes = ["skin=1-12", "hair=13"]'
    conditional=()
    # Eight classes of ImageNet, for Figure 11: goldfish, monarch, orange, school bus, jellyfish, lion, sports car, seashore, as far as
    # they are there.
    if [[ -z $print && ! -d $classes ]]; then
        imagenet=$runs/data/imagenet200_64/train
        [[ ! -d $data/imagenet200_64 ]] || imagenet=$data/imagenet200_64/train
        mkdir -p "$classes.new"
        for id in n01443537 n02279972 n07747607 n04146614 n01910747 n02129165 n04285008 n09428293; do
            [[ ! -d $imagenet/$id ]] || ln -s "$imagenet/$id" "$classes.new/$id"
        done
        mv "$classes.new" "$classes"
    fi
fi

# Says or runs a command.
do_it() {
    if [[ -n $print ]]; then
        printf '%q ' "$@" && echo
    else
        echo "== $*" >&2
        "$@"
    fi
}
# Trains a run of a name on pictures, or goes on with it.
train() {
    local run=$runs/$1 pictures=$2
    shift 2
    [[ -n $print || ! -e $run/done ]] || return 0
    if [[ -z $print && -e $run/config.json ]]; then
        do_it "${launch[@]}" "$FACTORSEG" resume "$run"
    else
        [[ -n $print ]] || rm -rf "$run"
        do_it "${launch[@]}" "$FACTORSEG" train "$pictures" --run "$run" "${network[@]}" "${device[@]}" --log-every 100 "$@"
    fi
    [[ -n $print ]] || touch "$run/done"
}
# Keeps the JSON that a command prints.
result() {
    local file=$runs/results/$1.json
    shift
    [[ -n $print || ! -s $file ]] || return 0
    if [[ -n $print ]]; then
        do_it "$@" --json
    else
        echo "== $* --json" >&2
        "$@" --json >"$file.new" && mv "$file.new" "$file"
    fi
}
model() { echo "$runs/$1/model.safetensors"; }
# Draws a picture, once.
picture() {
    local file=$images/$1.png
    shift
    [[ -e $file && -z $print ]] || do_it "$@" "$file"
}

# Puts what is there into the page.
tables() {
    [[ -n $print ]] || python3 "$root/docs/bench/paper_tables.py" "$page" "$runs/results" "$scale" "$steps"
}

# The paper's schedule, at any scale: the masks learn by denoising alone (Eq. 8).
if [[ $scale == paper ]]; then
    ours=(--recipe paper-cub --unconditional) faces=(--recipe paper-ffhq --unconditional) net=(--recipe paper-imagenet)
    supervised=(--recipe supervised --batch-size 128 --steps 20000 --unconditional)
    ddpm=("${ours[@]}" --regions 1) ddpm3=("${faces[@]}" --regions 1) ddpm4=("${net[@]}" --regions 1)
else
    ours=(--recipe two-phase --steps "$steps" --unconditional) faces=("${ours[@]}") net=(--recipe two-phase --steps "$steps")
    supervised=(--recipe supervised --steps "$((steps / 4))" --unconditional)
    ddpm=(--recipe "$runs/ddpm.toml" --regions 1 --steps "$steps" --unconditional)
    ddpm3=("${ddpm[@]}") ddpm4=("${ddpm[@]}")
    [[ -n $print ]] || cat >"$runs/ddpm.toml" <<'RECIPE'
name = "ddpm"
batch_size = 16
ema_rate = 0.99
gradient_clip = 1.0
[adam]
beta_2 = 0.99
[augmentation]
crop = "random"
crop_scale = 1.25
[[phases]]
name = "ddpm"
steps = 6600
timesteps = [1, 1000]
learning_rate = 5e-4
final_learning_rate = 5e-5
warmup_steps = 50
mask_head = "uniform"
RECIPE
fi
[[ -n $print ]] || "$FACTORSEG" recipes supervised | awk -v labels="$labels" \
    '{ print /^\[self_training.labels\]/ ? labels : $0 }' >"$runs/parts.toml"
parts_supervised=("${supervised[@]/#supervised/$runs/parts.toml}")

evaluate=("$FACTORSEG" evaluate)
generate() {
    local name=$1 out=$runs/drawn/$1
    [[ -n $print || ! -e $out/done ]] || return 0
    do_it "$FACTORSEG" generate --model "$(model "$name")" "${draw[@]}" --count "$many" "${device[@]}" --images "$out" \
        --out "$runs/drawn/$name.png"
    [[ -n $print ]] || touch "$out/done"
}
fid() { [[ -z ${INCEPTION:-} ]] || echo --inception "$INCEPTION" --real "$1"; }
[[ -n $print ]] || mkdir -p "$runs/drawn"

# Beside ours in Tables 1, 2 and 4: what is shipped, which learned by competition on other pictures.
for number in 1 2 4; do
    table=table$number
    result "$table-objects" "${evaluate[@]}" still "${!table}" --model "$root/model/checkpoints/objects.safetensors" "${segment[@]}"
done

# Tables 1, 2, and 6: ours, and the other ways to take in the masks.
train first "$pictures1" "${ours[@]}"
result table1 "${evaluate[@]}" still "$table1" --model "$(model first)" "${segment[@]}"
train second "$pictures2" "${ours[@]}"
result table6-second "${evaluate[@]}" still "$table2" --model "$(model second)" "${segment[@]}"
for decoding in concatenated masked-middle unshared; do
    train "$decoding" "$pictures2" "${ours[@]}" --decoding "$decoding"
    result "table6-$decoding" "${evaluate[@]}" still "$table2" --model "$(model $decoding)" "${segment[@]}"
    if [[ -n ${INCEPTION:-} ]]; then
        generate "$decoding"
        result "table6-fid-$decoding" "${evaluate[@]}" generation "$runs/drawn/$decoding" --inception "$INCEPTION" --real "$pictures2"
    fi
done
tables

# Table 3: faces.
train faces "$pictures3" "${faces[@]}"
train ddpm3 "$pictures3" "${ddpm3[@]}"
train supervised3 "$supervised3" "${parts_supervised[@]}"
result table3-ours "${evaluate[@]}" parts "$table3" "${parts[@]}" --model "$(model faces)" "${segment[@]}"
result table3-ddpm "${evaluate[@]}" parts "$table3" "${parts[@]}" --model "$(model ddpm3)" "${segment[@]}" --clusters 3 --timestep 50
result table3-supervised "${evaluate[@]}" parts "$table3" "${parts[@]}" --model "$(model supervised3)" "${segment[@]}"
tables

# Table 5: whether the masks of drawn pictures are those of the supervised network.
for pair in 3:faces:ddpm3 1:first:ddpm1 2:second:ddpm2; do
    IFS=: read -r set name baseline <<<"$pair"
    table=table$set pictures=pictures$set
    if ((set < 3)); then
        train "$baseline" "${!pictures}" "${ddpm[@]}"
        train "supervised$set" "${!table}" "${supervised[@]}"
    fi
    read -ra real <<<"$(fid "${!pictures}")"
    generate "$name"
    generate "$baseline"
    judge=("${evaluate[@]}" generation --segmenter-masks --model "$(model "supervised$set")" "${device[@]}" --paper "${real[@]}")
    result "table5-$name" "${judge[@]}" "$runs/drawn/$name"
    result "table5-$baseline" "${judge[@]}" "$runs/drawn/$baseline" --clusters-of "$(model "$baseline")"
done
tables

# Table 4, and Figure 11: classes.
train fourth "$pictures4" "${net[@]}"
train ddpm4 "$pictures4" "${ddpm4[@]}"
train supervised4 "$table4" "${supervised[@]}"
result table4-ours "${evaluate[@]}" still "$table4" "${conditional[@]}" --model "$(model fourth)" "${segment[@]}"
result table4-ddpm "${evaluate[@]}" still "$table4" --model "$(model ddpm4)" "${segment[@]}" --clusters 3 --timestep 50
result table4-supervised "${evaluate[@]}" still "$table4" --model "$(model supervised4)" "${segment[@]}"
tables
[[ $scale == paper ]] || train classes "$classes" "${net[@]}"

drawing=("$FACTORSEG" generate "${draw[@]}" "${device[@]}")
picture figure7 "${drawing[@]}" --model "$(model first)" --out
picture figure8 "${drawing[@]}" --model "$(model second)" --out
picture figure9 "${drawing[@]}" --model "$(model faces)" --count 4 --out "$runs/drawn/scratch.png" --branches
picture figure10 "${drawing[@]}" --model "$(model faces)" --count 1 --out "$runs/drawn/scratch.png" --trajectory
if [[ $scale != paper ]]; then
    picture figure11 "${drawing[@]}" --model "$(model classes)" --count 2 \
        --class n01443537,n02279972,n07747607,n04146614 --out
fi
picture figure12 "$FACTORSEG" interpolate "$runs/drawn/faces/00000.png" "$runs/drawn/faces/00001.png" \
    --model "$(model faces)" "${device[@]}" --out
