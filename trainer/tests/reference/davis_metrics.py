"""Writes davis_metrics.json: J, F, statistics and matchings of sequences with NumPy and SciPy, for the Rust tests.

Written from the definitions of DAVIS-2016 (Perazzi et al.): J is intersection over union; F compares the outlines, each
within a disk of the other; recall is the share above 0.5; decay is the first quarter's mean minus the last's.
"""
import json
import pathlib

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter
from scipy.optimize import linear_sum_assignment


def outline(mask):
    """A pixel is on the outline if the one to its right, below, or diagonally below differs."""
    h, w = mask.shape
    edge = np.zeros((h, w), bool)
    edge[:-1, :-1] = (mask[:-1, :-1] ^ mask[:-1, 1:]) | (mask[:-1, :-1] ^ mask[1:, :-1]) | (mask[:-1, :-1] ^ mask[1:, 1:])
    edge[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    edge[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return edge


def f_measure(predicted, truth, radius):
    y, x = np.mgrid[-radius:radius + 1, -radius:radius + 1]
    disk = x**2 + y**2 <= radius**2
    a, b = outline(predicted), outline(truth)
    near = lambda e: binary_dilation(e, disk) if e.any() else e
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    precision, recall = (a & near(b)).sum() / a.sum(), (b & near(a)).sum() / b.sum()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def j_measure(predicted, truth):
    return (predicted & truth).sum() / (predicted | truth).sum() if (predicted | truth).any() else 1.0


generator = np.random.default_rng(11)
masks = []
for index in range(16):
    h, w = int(generator.integers(5, 25)), int(generator.integers(5, 25))
    blob = gaussian_filter(generator.normal(size=(h, w)), 2)
    other = blob + generator.uniform(0.1, 1.5) * blob.std() * gaussian_filter(generator.normal(size=(h, w)), 1)
    predicted, truth = blob > np.quantile(blob, 0.6), other > np.quantile(other, generator.uniform(0.3, 0.8))
    if index in (3, 7):
        predicted = np.full((h, w), index == 3)
    if index in (7, 9):
        truth = np.zeros((h, w), bool)
    radius = int(generator.integers(0, 5))
    masks.append({
        "width": w, "height": h, "radius": radius,
        "predicted": "".join("01"[int(v)] for v in predicted.ravel()),
        "truth": "".join("01"[int(v)] for v in truth.ravel()),
        "j": float(j_measure(predicted, truth)), "f": float(f_measure(predicted, truth, radius)),
    })
series = []
for count in (1, 2, 3, 4, 5, 7, 10, 24, 39, 83):
    values = np.round(generator.uniform(size=count), 3)
    edges = (np.round(np.linspace(1, count, 5) + 1e-10) - 1).astype(int)
    quarters = [values[edges[i]:edges[i + 1] + 1] for i in range(4)]
    series.append({
        "values": values.tolist(), "mean": float(values.mean()), "recall": float((values > 0.5).mean()),
        "decay": float(quarters[0].mean() - quarters[3].mean()),
    })

# DAVIS-2017, unsupervised: proposals are matched with objects over the whole sequence, by the mean of (J + F) / 2. Pixels that
# nobody judged (9) belong to no mask.
matchings = []
for index in range(14):
    rows = int(generator.integers(1, 7))
    worths = np.round(generator.uniform(size=(rows, rows + int(generator.integers(0, 5)))), 6)
    _, columns = linear_sum_assignment(-worths)
    matchings.append({"worths": worths.tolist(), "columns": columns.tolist()})
sequences = []
for count in (1, 2, 3):
    h, w, frames = 12, 17, 4
    base = [gaussian_filter(generator.normal(size=(h, w)), 2) for _ in range(count + 1)]
    objects, regions = [], []
    for _ in range(frames):
        moved = [b + 0.3 * b.std() * gaussian_filter(generator.normal(size=(h, w)), 1) for b in base]
        truth = np.argmax(moved, 0)
        truth[generator.uniform(size=(h, w)) < 0.05] = 9
        seen = np.argmax([m + 0.5 * m.std() * gaussian_filter(generator.normal(size=(h, w)), 1) for m in moved], 0)
        objects.append(truth)
        regions.append((seen + 1) % (count + 1))
    radius = int(np.ceil(0.008 * np.hypot(w, h)))
    proposals = [1, 2] + [-1] * max(count - 2, 0)
    j, f = np.zeros((2, count, len(proposals), frames))
    for o in range(count):
        for p, proposal in enumerate(proposals):
            for t, (truth, seen) in enumerate(zip(objects, regions)):
                judged = truth != 9
                a, b = (seen == proposal) & judged, (truth == o + 1) & judged
                j[o, p, t], f[o, p, t] = j_measure(a, b), f_measure(a, b, radius)
    rows, columns = linear_sum_assignment(-(j.mean(2) + f.mean(2)) / 2)
    sequences.append({
        "width": w, "height": h, "count": count,
        "objects": ["".join(map(str, o.ravel())) for o in objects], "regions": ["".join(map(str, r.ravel())) for r in regions],
        "j": j[rows, columns].mean(1).tolist(), "f": f[rows, columns].mean(1).tolist(),
    })
content = {"masks": masks, "series": series, "matchings": matchings, "sequences": sequences}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
