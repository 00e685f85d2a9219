#!/usr/bin/env python3
"""Would the network see more of a video if it looked closer, at where the object was a frame ago? Lab book, section 52.

    cargo run --release -p factorseg-trainer --example motion_dump -- DAVIS dump
    python3 docs/bench/closer.py DAVIS dump closer                        # needs what motion.py needs
    cargo run --release -p factorseg-trainer --example motion_dump -- closer closer-dump
    python3 docs/bench/closer.py DAVIS dump closer closer-dump

The second writes to `closer` what each frame shows around the object that the motion model has found in the one before: 1.8 times as long as
the object, at least a quarter of the frame, changing slowly. The fourth scores the network's masks of whole frames and of these crops,
outside of which the object has a probability of 0.1: by themselves, and in the motion model with several weights.
"""
import sys
from pathlib import Path

import cv2
import numpy as np

from motion import CONSTANTS, H, W, flicker, run, score, sequences, up

LARGER, LEAST = 1.8, 0.25


def boxes(masks):
    """Left, top and side of what to look at in each frame, as shares of its width and height."""
    place, found = None, [(0.0, 0.0, 1.0)]
    for mask in masks[:-1] > 0.5:
        if mask.mean() < 0.002:
            found.append((0.0, 0.0, 1.0))
            continue
        (top, bottom), (left, right) = (np.quantile(at, [0.01, 0.99]) for at in np.nonzero(mask))
        wanted = np.array([(left + right) / 2 / W, (top + bottom) / 2 / H, max((right - left) / W, (bottom - top) / H) * LARGER])
        wanted[2] = np.clip(wanted[2], LEAST, 1)
        place = wanted if place is None else (place + wanted) / 2
        corner = np.clip(place[:2] - place[2] / 2, 0, 1 - place[2])
        found.append((*corner, place[2]))
    return found


def window(box, picture):
    """The part of a picture [height, width, ...] that a box is."""
    height, width = picture.shape[:2]
    x, y, across, down = (round(share * side) for share, side in zip((*box, box[2]), (width, height, width, height)))
    return picture[y : y + down, x : x + across]


def main(davis, dump, crops, looked_at=None):
    rows = {}
    for folder, (frames, guides, network, distances, flows, truth) in zip(sorted(Path(dump).iterdir()), sequences(davis, dump)):
        around = boxes(run(frames, guides, network, distances, flows))
        if looked_at is None:
            out = Path(crops) / "JPEGImages/480p" / folder.name
            out.mkdir(parents=True, exist_ok=True)
            for file, box in zip(sorted((Path(davis) / "JPEGImages/480p" / folder.name).glob("*.jpg")), around):
                frame = cv2.imread(str(file))
                cv2.imwrite(str(out / f"{file.stem}.png"), cv2.resize(window(box, frame), frame.shape[1::-1]))
            continue
        close = np.fromfile(Path(looked_at) / folder.name / "network.f32", np.float32).reshape(network.shape)
        closer = np.full_like(network, 0.1)
        for whole, crop, box in zip(closer, close, around):
            part = window(box, whole)
            part[:] = cv2.resize(crop, part.shape[::-1], interpolation=cv2.INTER_AREA)
        for name, masks in {"whole frames": network, "closer": closer}.items():
            rows.setdefault(f"{name}, the network", []).append((score(np.stack([up(mask) for mask in masks]), truth), 0))
            for weight in (0.25, 0.5, 0.75, 1.0):
                judged = run(frames, guides, masks, distances, flows, constants=CONSTANTS | {"network": weight})
                rows.setdefault(f"{name}, motion model, weight {weight}", []).append((score(judged, truth), flicker(judged)))
    for name, values in rows.items():
        j, changes = np.mean(values, 0)
        print(f"{name}: J {j:.4f}, flicker {changes:.3f} ", *(f"{value:.2f}" for value, _ in values))


if __name__ == "__main__":
    main(*sys.argv[1:])
