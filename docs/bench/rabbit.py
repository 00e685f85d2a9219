#!/usr/bin/env python3
"""J of the rabbit of the built-in clip in eight of its frames, drawn by hand: how well masks hold while it slows down, pauses and
waves. Lab book, section 53.

    mkdir masks
    gst-launch-1.0 -q filesrc location=pipelines/media/bigbuckbunny.mp4 ! decodebin ! videoconvert \\
        ! factorseg name=s mode=every-frame overlay=none mask_0::format=foreground-hard s.src ! queue ! fakesink \\
        s.mask_0 ! queue ! pngenc ! multifilesink location=masks/%05d.png
    python3 docs/bench/rabbit.py masks                                     # needs opencv-python-headless
"""
import sys
from pathlib import Path

import cv2
import numpy as np

# Its outline, within three pixels, in frames of 336x192. It moves in the first three and the last three, slows down in the fourth and stands
# still in the fifth.
SIZE = 336, 192
OUTLINES = {
    10: (
        "40,67 50,66 62,72 75,77 95,79 113,85 106,75 100,68 112,69 118,80 119,87 124,90 132,83 147,81 135,87 126,95 127,104 "
        "129,115 127,126 122,137 138,143 130,149 112,147 108,144 92,145 80,138 64,122 64,100 61,95 55,93 57,86 45,80 50,76"
    ),
    25: (
        "42,66 55,70 67,75 85,74 105,75 120,81 131,77 122,65 117,50 127,56 134,72 138,76 140,60 143,52 148,62 146,76 146,84 "
        "146,92 142,102 150,115 155,128 152,140 142,146 139,140 133,144 136,153 127,158 105,154 90,148 76,138 64,124 66,110 "
        "75,95 65,88 55,91 57,84 45,76"
    ),
    45: (
        "62,43 70,38 103,38 108,40 114,30 103,18 100,8 110,12 117,24 122,22 124,12 133,7 133,18 129,26 136,34 155,26 165,21 "
        "172,26 174,36 167,33 158,38 154,55 152,70 153,90 155,110 152,130 146,147 138,158 132,163 120,160 122,153 112,152 "
        "105,155 92,148 82,133 80,115 82,95 92,78 94,65 86,50 76,58 66,55"
    ),
    65: (
        "45,30 52,28 62,36 80,40 103,40 106,35 82,29 82,25 106,25 108,19 118,18 126,30 134,36 134,22 145,19 149,28 146,38 "
        "147,50 154,70 160,95 161,110 158,130 150,145 141,157 139,165 130,164 120,158 118,150 108,157 95,150 87,135 85,110 "
        "92,85 99,78 90,68 62,46 48,44"
    ),
    85: (
        "42,48 48,42 56,43 62,46 80,46 103,47 106,38 100,33 84,34 78,32 84,28 103,28 108,19 118,18 126,30 134,36 138,28 "
        "147,30 152,36 148,42 147,50 154,70 160,95 161,110 158,130 150,145 141,157 139,165 130,164 120,158 118,150 108,157 "
        "95,150 87,135 85,110 92,85 97,76 85,66 66,58 58,60 44,58"
    ),
    105: (
        "85,25 100,26 107,32 112,28 108,20 110,16 116,20 120,28 127,35 136,36 137,27 145,28 150,33 147,40 150,55 155,75 "
        "160,95 160,115 157,135 148,152 141,160 140,166 130,166 118,157 108,160 95,152 88,135 88,118 92,102 80,102 68,97 "
        "58,97 55,88 57,80 65,79 72,85 85,78 95,63 105,52 108,40 90,32"
    ),
    115: (
        "72,37 80,33 92,36 100,40 105,36 99,24 102,14 107,24 109,33 115,34 120,38 135,38 142,48 146,60 150,80 156,100 157,120 "
        "155,140 147,155 140,160 140,167 128,166 118,157 106,160 92,152 87,138 78,132 73,125 73,115 77,105 80,95 83,80 88,67 "
        "97,55 100,44 85,42"
    ),
    130: (
        "78,37 88,32 100,36 107,38 96,24 105,26 113,34 122,32 130,30 136,35 145,36 152,45 150,65 150,85 155,105 156,120 "
        "153,140 146,155 140,160 140,167 130,166 118,158 105,160 93,152 86,138 78,135 74,125 74,115 77,105 80,90 83,75 92,62 "
        "101,52 104,42 90,42"
    ),
}


def outline(points, size=SIZE):
    truth = np.zeros(size[::-1], np.uint8)
    corners = [[int(value) for value in point.split(",")] for point in points.split()]
    return cv2.fillPoly(truth, [np.array(corners, np.int32)], 1) > 0


def main(folder):
    scores = {}
    for frame, points in OUTLINES.items():
        file = Path(folder) / f"{frame:05}.png"
        mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            sys.exit(f"rabbit.py: {file} is no picture: one is needed for each frame of the clip")
        found, truth = cv2.resize(mask, SIZE, interpolation=cv2.INTER_AREA) > 127, outline(points)
        scores[frame] = (found & truth).sum() / (found | truth).sum()
    print("frame", *scores, "mean", sep=" | ")
    print("J", *(f"{score:.2f}" for score in scores.values()), f"{np.mean(list(scores.values())):.3f}", sep=" | ")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
