"""Writes still_metrics.json: foreground scores counted with NumPy, for the Rust tests."""
import json
import pathlib

import numpy as np

generator = np.random.default_rng(7)
cases = []
for index in range(24):
    share = generator.uniform(0.0, 1.0, 2)
    predicted = generator.uniform(size=60) < share[0]
    truth = generator.uniform(size=60) < share[1]
    ignored = generator.uniform(size=60) < (0.2 if index % 2 else 0.0)
    p, t = predicted[~ignored], truth[~ignored]
    iou = lambda a, b: np.logical_and(a, b).sum() / max(np.logical_or(a, b).sum(), 1) if np.logical_or(a, b).any() else 1.0
    dice = 2 * np.logical_and(p, t).sum() / (p.sum() + t.sum()) if p.sum() + t.sum() else 1.0
    cases.append({
        "predicted": "".join("01"[int(v)] for v in predicted),
        "truth": "".join("?" if i else "01"[int(v)] for v, i in zip(truth, ignored)),
        "scores": [float((p == t).mean()), float(iou(p, t)), float(dice), float((iou(p, t) + iou(~p, ~t)) / 2)],
    })
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases, indent=1) + "\n")
