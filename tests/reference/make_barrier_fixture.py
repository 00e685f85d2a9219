"""Writes fixtures/barrier.json: minimum barrier distances from the frames of pictures.

    python make_barrier_fixture.py

Needs numpy and scikit-image (whose L*a*b* are the reference of ours). The definition is that of `barrier::distances` in
model/refine/src/barrier.rs, in float64, with whole lines of pixels at once.
"""

import json
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab


def distances(picture: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Picture [3, height, width] in -1..1."""
    colors = rgb2lab(np.moveaxis((picture + 1) / 2, 0, 2))
    barrier = np.full(colors.shape[:2], np.inf)
    barrier[[0, -1]] = barrier[:, [0, -1]] = 0
    least, most = colors.copy(), colors.copy()
    for _ in range(rounds):
        for backwards in (False, True):
            for axis in (0, 1):
                views = [np.moveaxis(plane, axis, 0) for plane in (barrier, least, most, colors)]
                here, low, high, own = [view[::-1] for view in views] if backwards else views
                for line in range(1, len(here)):
                    lower, higher = np.minimum(low[line - 1], own[line]), np.maximum(high[line - 1], own[line])
                    found = np.maximum((higher - lower).sum(-1), here[line - 1])
                    better = found < here[line]
                    here[line][better], low[line][better], high[line][better] = found[better], lower[better], higher[better]
    return barrier


def threshold(values: np.ndarray, bins: int = 64) -> float:
    """Otsu's threshold, an upper edge of a bin."""
    counts, edges = np.histogram(values, bins)
    share = np.cumsum(counts)[:-1] / counts.sum()
    centers = (edges[1:] + edges[:-1]) / 2
    moment = np.cumsum(counts * centers) / counts.sum()
    variance = (moment[-1] * share - moment[:-1]) ** 2 / (share * (1 - share))
    best = np.flatnonzero(variance == variance.max())
    return (edges[1 + best[0]] + edges[1 + best[-1]]) / 2


def evidence(image: np.ndarray) -> np.ndarray:
    """How far each pixel of an image [3, height, width] in -1..1 stands apart from the frame, in deviations."""
    powers = distances(image) ** 1.5
    return (powers - threshold(powers)) / (powers.std() + 10)


def main() -> None:
    random = np.random.default_rng(3)
    cases = []
    for height, width, smooth in [(12, 20, 2.0), (17, 9, 1.0), (1, 5, 1.0), (2, 2, 0.5), (16, 16, 0.0)]:
        noise = random.normal(size=(3, height, width))
        picture = gaussian_filter(noise, (0, smooth, smooth)) * (1 + 3 * smooth)
        picture = np.clip(picture, -1, 1).round(3)
        case = {"width": width, "height": height, "picture": picture.ravel().tolist()}
        cases.append(case | {"distances": distances(picture).round(4).ravel().tolist()})
    path = Path(__file__).parent / "fixtures" / "barrier.json"
    path.write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
