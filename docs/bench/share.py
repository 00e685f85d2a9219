#!/usr/bin/env python3
"""Could the object's share of a picture be foretold? In PyTorch, NumPy and scikit-learn: lab book, section 46.

    python3 docs/bench/share.py DATA CHECKPOINT    # needs torch, safetensors, numpy, scipy, scikit-image, opencv-python-headless, scikit-learn

DATA as for scripts/evaluate.sh, unpacked. The network's log-odds are moved by -2 to 2 before the color model, which makes the object smaller or
larger. Boosted trees are then taught, with labels, which of the five masks of a picture is best, and choose for pictures that they have
not seen: those of another set, or others of the same sets. Prints mean IoU over four sets, 150 pictures of each.
"""
import sys
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter
from sklearn.ensemble import HistGradientBoostingRegressor

import looks
from make_barrier_fixture import evidence
from make_color_fixture import CELLS, refine

SHIFTS = [-2, -1, 0, 1, 2]
AS_IT_IS = SHIFTS.index(0)
PICTURES = 150
SIZE = 96


def describe(mask, log_odds, picture, apart, cell):
    """What of a mask can be seen without a label: its size, shape, edges, colours, and what network and barrier say of it."""
    area = mask.mean()
    if area in (0, 1):
        return [area] + [0] * 12
    frame = np.ones_like(mask)
    frame[SIZE // 16 : -SIZE // 16, SIZE // 16 : -SIZE // 16] = False
    steps = [np.abs(np.diff(picture, axis=axis)).sum(0) for axis in (1, 2)]
    borders = [np.diff(mask, axis=axis) for axis in (0, 1)]
    length = sum(border.sum() for border in borders)
    contrast = sum(step[border].sum() for step, border in zip(steps, borders)) / length
    rings = [log_odds[ring].mean() if ring.any() else 0 for ring in (binary_dilation(mask, iterations=2) & ~mask, mask & ~binary_erosion(mask, iterations=2))]
    shares = []
    for side in (mask, ~mask):
        cube = np.zeros((CELLS,) * 3)
        np.add.at(cube, tuple(axis[side] for axis in cell), 1 / side.sum())
        shares.append(gaussian_filter(cube, 1.0))
    typical = np.log((shares[0][cell] + 1e-5) / (shares[1][cell] + 1e-5))
    return [area, log_odds[mask].mean(), log_odds[~mask].mean(), *rings, contrast / sum(step.mean() for step in steps), mask[frame].mean(),
            length / np.sqrt(mask.sum()), apart[mask].mean(), apart[~mask].mean(), np.sqrt(shares[0] * shares[1]).sum(),
            typical[mask].mean(), ((typical > 0) == mask).mean()]


def of_picture(model, config, file):
    """IoU and description of each of the five masks."""
    picture = cv2.resize(cv2.imread(str(file))[..., ::-1], (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    truth = cv2.imread(str(file.parents[1] / "masks" / f"{file.stem}.png"), 0)
    log_odds = looks.log_odds(model, config, picture[None])[0]
    picture = picture.transpose(2, 0, 1) / 127.5 - 1
    apart = evidence(picture)
    cell = tuple(np.clip((picture + 1) * CELLS / 2, 0, CELLS - 1).astype(int))
    found = []
    for shift in SHIFTS:
        p = np.clip(1 / (1 + np.exp(-(log_odds + shift))), 1e-6, 1 - 1e-6)
        object_ = refine(picture, np.stack([1 - p, p]), np.array([False, True]))
        small = cv2.resize(object_[1].astype(np.float32), truth.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
        score = looks.iou(small, truth >= 192, (truth >= 64) & (truth < 192))
        found.append((score, describe(object_[1] > object_[0], log_odds, picture, apart, cell)))
    return found


def choose(scores, inputs, taught):
    """Which mask of each picture that was not `taught` the trees take."""
    trees = HistGradientBoostingRegressor(max_iter=150, learning_rate=0.05, max_depth=4, min_samples_leaf=40)
    gains = scores - scores[:, AS_IT_IS : AS_IT_IS + 1]
    trees.fit(inputs[taught].reshape(-1, inputs.shape[2]), gains[taught].ravel())
    foretold = trees.predict(inputs[~taught].reshape(-1, inputs.shape[2])).reshape(-1, len(SHIFTS))
    foretold[:, AS_IT_IS] += 0.005
    return scores[~taught][np.arange((~taught).sum()), foretold.argmax(1)]


def main():
    data, checkpoint = Path(sys.argv[1]), sys.argv[2]
    model, config = looks.load(checkpoint)
    scores, described, sets = [], [], []
    for index, name in enumerate(looks.SETS):
        files = sorted((data / name / "images").iterdir(), key=lambda file: file.stem)
        for file in files[:: max(1, len(files) // PICTURES)][:PICTURES]:
            found = of_picture(model, config, file)
            scores.append([score for score, _ in found])
            described.append([description for _, description in found])
            sets.append(index)
    scores, described, sets = np.array(scores), np.array(described), np.array(sets)
    by_set = lambda values: " ".join(f"{value:.3f}" for value in [np.mean([values[sets == at].mean() for at in range(4)]), *(values[sets == at].mean() for at in range(4))])
    for at, shift in enumerate(SHIFTS):
        print(f"log-odds {shift:+}:", by_set(scores[:, at]))
    print("best of the five:", by_set(scores.max(1)))
    same = described[:, AS_IT_IS : AS_IT_IS + 1]
    which = np.broadcast_to(np.eye(len(SHIFTS)), (len(scores), len(SHIFTS), len(SHIFTS)))
    inputs = np.concatenate([described, described - same, np.broadcast_to(same, described.shape), which], 2)
    for title, fold in [("taught by the other sets:", sets), ("taught by four fifths of all:", np.arange(len(scores)) % 5)]:
        chosen = np.zeros(len(scores))
        for part in np.unique(fold):
            chosen[fold == part] = choose(scores, inputs, fold != part)
        print(title, by_set(chosen))


if __name__ == "__main__":
    main()
