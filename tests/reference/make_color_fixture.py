"""Writes fixtures/color_model.json: region probabilities before and after they are judged by a picture's colours.

    python make_color_fixture.py

Needs numpy, scipy and scikit-image. The formula is that of `ColorModel::refine` in model/refine/src/color.rs, in float64.
"""

import json
from pathlib import Path

import numpy as np
from make_barrier_fixture import evidence
from scipy.ndimage import binary_fill_holes, gaussian_filter, label

CELLS = 32


def windows(length: int, radius: int) -> np.ndarray:
    """The matrix that takes means over windows, as far as the picture reaches."""
    at = np.arange(length)
    near = (np.abs(at[:, None] - at) <= radius).astype(float)
    return near / near.sum(1, keepdims=True)


def double(length: int) -> np.ndarray:
    """The matrix that interpolates `length` pixels to twice as many, pixel centres at half coordinates."""
    position = np.clip((np.arange(2 * length) + 0.5) / 2 - 0.5, 0, length - 1)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(length)))


def guided(colors: np.ndarray, plane: np.ndarray, radius: int = 3, epsilon: float = 1e-4) -> np.ndarray:
    """The fast guided filter: colors [3, height, width] in 0..1, both sides even."""
    _, height, width = colors.shape
    half = lambda p: p.reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    down, across = windows(height // 2, radius), windows(width // 2, radius)
    mean = lambda p: down @ p @ across.T
    small, target = np.stack([half(c) for c in colors]), half(plane)
    means, target_mean = np.stack([mean(c) for c in small]), mean(target)
    matrix = np.array([[mean(a * b) - mean(a) * mean(b) for b in small] for a in small])
    matrix += epsilon * np.eye(3)[:, :, None, None]
    right = np.stack([mean(c * target) for c in small]) - means * target_mean
    slopes = np.linalg.solve(np.moveaxis(matrix, (0, 1), (2, 3)), np.moveaxis(right, 0, 2)[..., None])[..., 0]
    slopes = np.moveaxis(slopes, 2, 0)
    offset = target_mean - (slopes * means).sum(0)
    spread = lambda p: double(height // 2) @ mean(p) @ double(width // 2).T
    return sum(spread(slope) * color for slope, color in zip(slopes, colors)) + spread(offset)


def refine(picture: np.ndarray, p: np.ndarray, foreground: np.ndarray | None = None) -> np.ndarray:
    """Picture [3, height, width] in -1..1, p [K, height, width], foreground [K] (unset: not known); returns the new p."""
    cell = tuple(np.clip((picture + 1) * CELLS / 2, 0, CELLS - 1).astype(int))
    height, width = p.shape[1:]
    deep = max(1, round(min(height, width) / 16))
    frame = np.ones((height, width), bool)
    frame[deep:-deep, deep:-deep] = False
    if foreground is None:
        foreground = np.arange(len(p)) != p[:, frame].sum(1).argmax()
    p = p * np.where(foreground[:, None, None], np.exp(np.minimum(evidence(picture) / 2, 4)), 1)
    p /= p.sum(0)
    counts = p**2 / (p**2).sum(0)
    most = np.where(foreground[:, None, None], -1, p).argmax(0) == np.arange(len(p))[:, None, None]
    counts += 2 * (most & frame)
    counts *= ~(foreground[:, None, None] & frame)
    scores = []
    for region, network in zip(counts, p):
        histogram = np.zeros((CELLS,) * 3)
        np.add.at(histogram, cell, region)
        histogram = gaussian_filter(histogram, 0.7, mode="reflect", radius=3)
        area = region.mean()
        likelihood = np.log(histogram[cell] / region.size / area + 1e-4)
        score = 2 * gaussian_filter(likelihood, 1.0, mode="reflect", radius=3) + 1.5 * np.log(network)
        scores.append(guided((picture + 1) / 2, score))
    scores = np.exp(scores - np.max(scores, axis=0))
    return sweep(whole(scores / scores.sum(0), foreground, p[foreground].sum(0)))


def whole(p: np.ndarray, foreground: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """Pieces with less than 0.3 of the evidence of the best go to the background, holes to the object."""
    object_ = p[foreground].max(0) > p[~foreground].max(0)
    pieces, count = label(object_)
    mass = np.array([evidence[pieces == piece].sum() for piece in range(1, count + 1)])
    kept = np.isin(pieces, 1 + np.flatnonzero(mass >= 0.3 * mass.max(initial=0)))
    wrong = binary_fill_holes(kept) != object_
    out = p.copy()
    for given, taken in [(foreground, ~foreground), (~foreground, foreground)]:
        out[given] = np.where(wrong, p[given] / p[given].sum(0) * p[taken].sum(0), p[given])
    return out


def sweep(p: np.ndarray) -> np.ndarray:
    """Pieces with less than a twentieth of their region's largest exchange with the region that borders on them most."""
    if len(p) == 2:
        return p
    region_of = p.argmax(0)
    out = p.copy()
    for region in range(len(p)):
        pieces, count = label(region_of == region)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        for piece in 1 + np.flatnonzero(sizes < 0.05 * sizes.max(initial=0)):
            inside = np.pad(pieces == piece, 1)
            around = sum(np.roll(inside, shift, axis)[1:-1, 1:-1] for axis in (0, 1) for shift in (-1, 1)).astype(int)
            borders = [around[(pieces != piece) & (region_of == other)].sum() for other in range(len(p))]
            other = len(p) - 1 - int(np.argmax(borders[::-1]))
            at = pieces == piece
            out[region, at], out[other, at] = p[other, at], p[region, at]
    return out


def main() -> None:
    random = np.random.default_rng(7)
    cases = []
    for foreground, height, width in [(None, 8, 14), ([1], 24, 20), (None, 30, 26), ([1, 2], 28, 22)]:
        regions = 3 if foreground is None else 2 * len(foreground)
        is_foreground = None if foreground is None else np.isin(np.arange(regions), foreground)
        # Smooth, so that neighbouring cells hold something, and with colours at the cube's faces.
        picture = np.clip(gaussian_filter(random.normal(size=(3, height, width)), (0, 2, 2)) * 4, -1, 1).round(3)
        logits = gaussian_filter(random.normal(size=(regions, height, width)), (0, 2, 2)) * 8
        p = (np.exp(logits) / np.exp(logits).sum(0)).round(6)
        cases.append(
            {
                "regions": regions,
                "width": width,
                "height": height,
                "picture": picture.ravel().tolist(),
                "foreground": [] if is_foreground is None else is_foreground.tolist(),
                "before": p.ravel().tolist(),
                "after": refine(picture, p, is_foreground).round(6).ravel().tolist(),
            }
        )
    path = Path(__file__).parent / "fixtures" / "color_model.json"
    path.write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
