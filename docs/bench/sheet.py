#!/usr/bin/env python3
"""Frames of videos under each other, to compare masks by eye: the contact sheets of the lab book.

    factorseg-pipeline overlay --in clip --out before.mp4                  # by the programs before a change
    factorseg-pipeline overlay --in clip --out after.mp4
    python3 docs/bench/sheet.py sheet.jpg 14 before.mp4 after.mp4          # needs opencv-python-headless

Seven frames a row, evenly spread over the videos; a row of each video under that of the one before.
"""
import sys

import cv2
import numpy as np

ACROSS, WIDTH = 7, 160


def frames(file, count):
    video = cv2.VideoCapture(file)
    shown = []
    while (frame := video.read())[0]:
        height = round(WIDTH * frame[1].shape[0] / frame[1].shape[1])
        shown.append(cv2.resize(frame[1], (WIDTH, height), interpolation=cv2.INTER_AREA))
    if len(shown) < count:
        sys.exit(f"sheet.py: {file} has {len(shown)} frames, not {count}")
    return [shown[at] for at in np.linspace(0, len(shown) - 1, count).round().astype(int)]


def main(out, count, *files):
    videos = [frames(file, int(count)) for file in files]
    rows = [video[start : start + ACROSS] for start in range(0, int(count), ACROSS) for video in videos]
    blank = np.full_like(rows[0][0], 255)
    rows = [np.hstack(row + [blank] * (ACROSS - len(row))) for row in rows]
    if not cv2.imwrite(out, np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85]):
        sys.exit(f"sheet.py: cannot write {out}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
