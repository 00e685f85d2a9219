"""J and F of DAVIS-2016 for masks in pictures, by the definitions of docs/trainer.md, independent of the trainer's own code.

    python davis_scores.py DAVIS MASKS

MASKS/NAME/00000.png has the size of DAVIS/Annotations/480p/NAME/00000.png; what is not 0 is the object. The first frame of
each sequence is not scored. Needs numpy and opencv.
"""

import sys
from pathlib import Path

import cv2
import numpy as np


def outline(mask: np.ndarray) -> np.ndarray:
    """Pixels that differ from the one to their right, below or diagonally below."""
    moved = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, both = moved[:-1, 1:], moved[1:, :-1], moved[1:, 1:]
    return (mask != right) | (mask != below) | (mask != both)


def similarity(mask: np.ndarray, truth: np.ndarray) -> float:
    union = (mask | truth).sum()
    return float((mask & truth).sum() / union) if union else 1.0


def boundary(mask: np.ndarray, truth: np.ndarray) -> float:
    radius = int(np.ceil(0.008 * np.hypot(*mask.shape)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x * x + y * y <= radius * radius).astype(np.uint8)
    lines = [outline(m) for m in (mask, truth)]
    near = [cv2.dilate(line.astype(np.uint8), disk) > 0 for line in lines]
    if not lines[0].any() or not lines[1].any():
        return float(lines[0].any() == lines[1].any())
    precision = (lines[0] & near[1]).sum() / lines[0].sum()
    recall = (lines[1] & near[0]).sum() / lines[1].sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def main() -> None:
    root, masks = Path(sys.argv[1]), Path(sys.argv[2])
    means = []
    for folder in sorted((root / "Annotations/480p").iterdir()):
        scores = []
        for file in sorted(folder.glob("*.png"))[1:]:
            truth = cv2.imread(str(file)).max(2) > 0
            mask = cv2.imread(str(masks / folder.name / file.name), cv2.IMREAD_GRAYSCALE)
            if mask is None or mask.shape != truth.shape:
                sys.exit(f"{masks / folder.name / file.name}: no mask of {truth.shape[1]}x{truth.shape[0]}")
            scores.append((similarity(mask > 0, truth), boundary(mask > 0, truth)))
        means.append(np.mean(scores, 0))
        print(f"{folder.name}: {len(scores)} frames, J {means[-1][0]:.3f}, F {means[-1][1]:.3f}")
    print(f"mean of sequences: J {np.mean(means, 0)[0]:.3f}, F {np.mean(means, 0)[1]:.3f}")


if __name__ == "__main__":
    main()
