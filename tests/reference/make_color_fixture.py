"""Writes fixtures/color_model.json: region probabilities before and after they are judged by a picture's colours.

    python make_color_fixture.py

Needs numpy and scipy. The formula is that of `ColorModel::refine` in model/src/color_model.rs, in float64.
"""

import json
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

CELLS = 32


def refine(picture: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Picture [3, height, width] in -1..1, p [K, height, width]; returns the new p."""
    cell = tuple(np.clip((picture + 1) * CELLS / 2, 0, CELLS - 1).astype(int))
    sharp = p**2 / (p**2).sum(0)
    scores = []
    for region, network in zip(sharp, p):
        histogram = np.zeros((CELLS,) * 3)
        np.add.at(histogram, cell, region)
        histogram = gaussian_filter(histogram, 1.0, mode="reflect", radius=3)
        area = region.mean()
        likelihood = np.log(histogram[cell] / region.size + 1e-4 * area) - 0.5 * np.log(area)
        scores.append(2 * gaussian_filter(likelihood, 1.0, mode="reflect", radius=3) + 0.5 * np.log(network))
    scores = np.exp(scores - np.max(scores, axis=0))
    return scores / scores.sum(0)


def main() -> None:
    random = np.random.default_rng(7)
    regions, height, width = 3, 8, 14
    # Smooth, so that neighbouring cells hold something, and with colours at the cube's faces.
    picture = np.clip(gaussian_filter(random.normal(size=(3, height, width)), (0, 2, 2)) * 4, -1, 1).round(3)
    logits = gaussian_filter(random.normal(size=(regions, height, width)), (0, 2, 2)) * 8
    p = np.exp(logits) / np.exp(logits).sum(0)
    content = {
        "regions": regions,
        "width": width,
        "height": height,
        "picture": picture.ravel().tolist(),
        "before": p.round(6).ravel().tolist(),
        "after": refine(picture, p).round(6).ravel().tolist(),
    }
    path = Path(__file__).parent / "fixtures" / "color_model.json"
    path.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
