#!/usr/bin/env python3
"""J of people who stand before a camera and speak with their hands, in six frames drawn by hand: how well masks hold what rests while
a part of it moves; and flicker. Lab book, section 56. The clips are those of `footage-train.zip`.

    for clip in again school walk yes; do
        mkdir -p masks/$clip
        gst-launch-1.0 -q filesrc location=footage/scenes/intel-$clip.mp4 ! decodebin ! videoconvert \\
            ! factorseg name=s mode=every-frame overlay=none mask_0::format=foreground-hard s.src ! queue ! fakesink \\
            s.mask_0 ! queue ! pngenc ! multifilesink location=masks/$clip/%05d.png
    done
    python3 docs/bench/people.py masks                                     # needs opencv-python-headless
"""
import sys
from pathlib import Path

import cv2
import numpy as np

from rabbit import outline

# Outlines, within four pixels, in frames of 448x336.
SIZE = 448, 336
OUTLINES = {
    ("again", 17): (
        "148,336 150,300 155,270 158,228 130,228 118,215 122,185 136,160 150,135 165,125 185,118 205,110 200,95 197,75 202,48 215,37 "
        "232,37 246,48 250,75 246,98 242,110 258,118 280,128 298,140 312,170 324,190 330,210 325,228 310,237 292,235 298,262 303,290 "
        "305,336"
    ),
    ("again", 59): (
        "145,336 148,300 152,265 155,245 152,232 130,232 122,215 125,190 138,160 150,135 165,125 182,118 202,112 199,95 194,76 197,55 "
        "207,42 222,38 238,44 246,60 247,80 242,98 240,112 258,118 282,128 295,145 310,170 322,190 326,215 315,235 295,234 287,232 "
        "292,255 298,280 302,336"
    ),
    ("school", 39): (
        "155,336 158,295 163,265 168,242 148,243 140,225 139,205 146,175 160,150 175,140 184,125 184,95 190,72 205,61 222,63 234,78 "
        "238,100 236,118 248,128 270,143 283,155 292,180 298,205 298,230 290,245 275,243 270,265 275,300 277,336"
    ),
    ("walk", 68): (
        "150,336 152,300 158,270 163,245 145,250 130,244 128,230 135,200 145,170 158,150 168,135 172,105 177,80 190,68 205,66 218,75 "
        "224,95 221,120 232,132 255,142 265,155 275,185 290,215 290,235 278,245 262,243 258,235 265,270 270,300 271,336"
    ),
    ("yes", 21): (
        "140,336 142,300 147,265 152,245 155,222 150,205 135,208 118,224 103,218 98,200 105,182 120,168 125,150 135,130 150,118 "
        "170,118 178,120 195,112 192,95 186,78 188,55 200,38 215,36 230,42 238,58 240,78 236,100 235,110 255,118 278,130 295,155 "
        "308,190 316,215 318,245 315,270 308,305 300,336 278,336 290,305 288,268 290,300 300,336"
    ),
    ("yes", 57): (
        "113,336 114,290 118,265 120,258 108,248 90,238 78,228 76,210 82,190 95,175 108,150 125,132 145,124 160,117 172,112 169,95 "
        "163,82 165,60 175,45 190,41 205,48 214,62 215,80 210,100 212,115 225,120 240,130 255,145 265,170 275,190 282,215 285,240 "
        "283,280 275,310 265,336"
    ),
}


def mask(folder, clip, frame):
    file = Path(folder) / clip / f"{frame:05}.png"
    picture = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        sys.exit(f"people.py: {file} is no picture: one is needed for each frame of each clip")
    return cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA) > 127


def agreement(one, other):
    return (one & other).sum() / max((one | other).sum(), 1)


def main(folder):
    scores = [agreement(mask(folder, *of), outline(points, SIZE)) for of, points in OUTLINES.items()]
    print("frame", *(f"{clip} {frame}" for clip, frame in OUTLINES), "mean", "flicker", sep=" | ")
    flicker = []
    for clip in sorted({clip for clip, _ in OUTLINES}):
        masks = [mask(folder, clip, frame) for frame in range(len(list((Path(folder) / clip).glob("*.png"))))]
        flicker.append(np.mean([1 - agreement(*pair) for pair in zip(masks, masks[1:])]))
    print("J", *(f"{score:.2f}" for score in scores), f"{np.mean(scores):.3f}", f"{np.mean(flicker):.3f}", sep=" | ")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
