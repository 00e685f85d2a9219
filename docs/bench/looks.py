#!/usr/bin/env python3
"""Masks of pictures from several close looks of a checkpoint, in PyTorch and NumPy: lab book, section 43.

    python3 docs/bench/looks.py DATA CHECKPOINT    # needs torch, safetensors, numpy, scipy, scikit-image, opencv-python-headless

DATA as for scripts/evaluate.sh, unpacked. For looks of a share of a picture's side, so many along each side, prints the mean IoU of the
foreground over four sets (every third picture, all of them scored), of the network alone and with its colours. t = 30, no class.
"""
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/reference"))
import factorized
from make_color_fixture import refine

SETS = ["weizmann_horse", "ecssd", "pets3", "human"]
LOOKS = [(64, 1), (60, 2), (56, 2), (48, 2), (48, 3), (40, 3)]
EVERY = 3


def load(path):
    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["factorseg.config"])
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    of = lambda kind, values: kind(**{name: value for name, value in values.items() if name in kind.__dataclass_fields__})
    config = of(factorized.ModelConfig, settings | {"schedule": of(factorized.ScheduleConfig, settings["schedule"])})
    model = factorized.Factorized(config)
    stored = factorized._parameter_names(model)
    weights = {own: tensors[name].T if turned else tensors[name] for own, (name, turned) in stored.items() if name in tensors}
    model.load_state_dict(weights, strict=False)  # Without the decoder.
    return model.eval(), config


@torch.no_grad()
def log_odds(model, config, pictures):
    """Pictures [N, 64, 64, 3] of 8 bits; log-odds of region 2 of two, [N, 64, 64]."""
    x = torch.tensor(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    noise = torch.randn(1, *x.shape[1:], generator=torch.Generator().manual_seed(0))
    found = []
    for part in x.split(64):
        t = torch.full((len(part),), 30)
        embedding = model.embed(t, None)
        noised = factorized.NoiseSchedule(config.schedule).add_noise(part, noise.expand_as(part), t)
        middle, skips = model.encode(noised, embedding)
        logits = model.mask_logits(middle, skips, embedding)
        found.append(logits[:, 1] - logits[:, 0])
    return torch.cat(found).numpy()


def looked(model, config, pictures, cut, along):
    """The mean of the log-odds of squares of `cut` pixels, `along` of them along each side."""
    size = pictures.shape[1]
    places = np.linspace(0, size - cut, along).round().astype(int)
    total, count = np.zeros(pictures.shape[:3]), np.zeros((size, size))
    for top in places:
        for left in places:
            rows, columns = slice(top, top + cut), slice(left, left + cut)
            squares = [cv2.resize(picture[rows, columns], (size, size), interpolation=cv2.INTER_CUBIC) for picture in pictures]
            odds = log_odds(model, config, np.stack(squares))
            total[:, rows, columns] += [cv2.resize(plane, (cut, cut), interpolation=cv2.INTER_AREA) for plane in odds]
            count[rows, columns] += 1
    return total / count


def iou(found, truth, ignored):
    found, truth = found[~ignored], truth[~ignored]
    return (found & truth).sum() / (found | truth).sum() if (found | truth).any() else 1.0


def colored(picture, odds):
    p = np.clip(1 / (1 + np.exp(-odds)), 1e-6, 1 - 1e-6)
    background, object_ = refine(picture.transpose(2, 0, 1) / 127.5 - 1, np.stack([1 - p, p]), np.array([False, True]))
    return object_ > background


def main():
    data, checkpoint = Path(sys.argv[1]), sys.argv[2]
    model, config = load(checkpoint)
    sets = []
    for name in SETS:
        files = sorted((data / "seg_64" / name / "images").iterdir(), key=lambda path: path.stem)[::EVERY]
        pictures = np.stack([cv2.imread(str(file))[..., ::-1] for file in files])
        masks = np.stack([cv2.imread(str(file.parents[1] / "masks" / f"{file.stem}.png"), 0) for file in files])
        sets.append((pictures, masks >= 192, (masks >= 64) & (masks < 192)))
    print("| side of a look | looks | alone | with colours |\n|---|---|---|---|")
    for cut, along in LOOKS:
        alone, colors = [], []
        for pictures, truth, ignored in sets:
            odds = looked(model, config, pictures, cut, along)
            alone.append(np.mean([iou(plane > 0, *of) for plane, *of in zip(odds, truth, ignored)]))
            colors.append(np.mean([iou(colored(picture, plane), *of) for picture, plane, *of in zip(pictures, odds, truth, ignored)]))
        print(f"| {cut}/64 | {along}x{along} | {np.mean(alone):.3f} | {np.mean(colors):.3f} |", flush=True)


if __name__ == "__main__":
    main()
