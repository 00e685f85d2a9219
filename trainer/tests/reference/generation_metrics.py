"""Writes generation_metrics.json: eigenvalues and Fréchet distances with NumPy and SciPy, for the Rust tests.

    python trainer/tests/reference/generation_metrics.py
"""

import json
import pathlib

import numpy as np
from scipy.linalg import sqrtm

generator = np.random.default_rng(5)
cases = []
for n, counts in [(3, (20, 30)), (8, (40, 25)), (12, (60, 50)), (17, (12, 40)), (6, (40, 30))]:
    mix = generator.normal(size=(2, n, n))
    # In steps that 32 bits hold without loss. One has fewer samples than features, another two sets that are nearly the same.
    quantised = lambda values: np.round(np.maximum(values, 0) * 64) / 64
    sets = [quantised(generator.normal(size=(count, n)) @ a + 0.5) for count, a in zip(counts, mix)]
    if n == 6:
        sets[1] = sets[0][:30] + 1 / 64
    (m1, c1), (m2, c2) = [(s.mean(0), np.cov(s, rowvar=False)) for s in sets]
    distance = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    cases.append({
        "features": [[[float(v) for v in row] for row in s] for s in sets],
        "eigenvalues": np.linalg.eigvalsh(c1).tolist(), "distance": float(distance),
    })
    print(n, distance)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
