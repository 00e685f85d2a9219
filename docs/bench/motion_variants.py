#!/usr/bin/env python3
"""What might see more motion than the motion model, tried beside it: lab book, sections 38, 47, 49 and 52.

    cargo run --release -p factorseg-trainer --example motion_dump -- DAVIS dump
    python3 docs/bench/motion_variants.py DAVIS dump [VARIANT...]     # needs what motion.py needs

Of each variant: J, flicker, and J of each sequence.
"""
import sys

import cv2
import numpy as np

from motion import BASIS, CONSTANTS, H, W, XX, YY, blurred, flicker, residual, run, score, sequences, squared_slopes, warp

EVERY = np.s_[::4, ::4]


def fitted(basis, values, given, rounds):
    """A robust fit of `values` [2, H, W] over `basis` [H, W, n] where `given` [H, W] is: distances from it, and their median."""
    b, v, g = basis[EVERY].reshape(-1, basis.shape[-1]).astype(np.float64), values[(np.s_[:], *EVERY)].reshape(2, -1).T, given[EVERY].ravel()
    weights = g.copy()
    for _ in range(rounds):
        weighted = b * weights[:, None]
        fit = np.linalg.solve(weighted.T @ b + 1e-3 * np.eye(b.shape[1]), weighted.T @ v)
        length = np.sqrt(((v - b @ fit) ** 2).sum(1))
        scale = max(np.median(length[g > 0]), 0.02)
        weights = g * (1 + (length / scale) ** 2) ** -2
    return values - np.einsum("yxb,bc->cyx", basis, fit), scale


def quadratic(flow, _):
    x, y = BASIS[..., 1], BASIS[..., 2]
    return fitted(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1), flow, np.ones((H, W)), 8)


def homography(flow, _):
    here = np.stack([XX, YY], -1)
    there = here + flow.transpose(1, 2, 0)
    plane, _ = cv2.findHomography(here[EVERY].reshape(-1, 2), there[EVERY].reshape(-1, 2), cv2.USAC_MAGSAC, 0.5)
    if plane is None:
        return residual(flow)
    left = (there - cv2.perspectiveTransform(here.reshape(1, -1, 2), plane).reshape(H, W, 2)).transpose(2, 0, 1)
    return left, max(np.median(np.sqrt((left[(np.s_[:], *EVERY)] ** 2).sum(0))), 0.02)


class Chained:
    """What moves alike from frame to frame: the residual averaged along the flow."""

    def __init__(self, new):
        self.new, self.mean = new, None

    def __call__(self, flow, _):
        left, _ = residual(flow)
        if self.mean is not None:
            left = self.new * left + (1 - self.new) * np.stack([warp(flow, part) for part in self.mean])
        self.mean = left
        return left, max(np.median(np.sqrt((left[(np.s_[:], *EVERY)] ** 2).sum(0))), 0.02)


class Track:
    """Changes that lean on the mask before, as far as motion has shown it."""

    def __init__(self, change, share):
        self.change, self.share, self.shown = change, share, 0.0

    def __call__(self, motion, left, length, scale, level, before, weight, frame):
        inside, shown = before > 0.5, self.shown
        self.shown += 0.2 * (weight - self.shown)
        if shown <= 0.2 or inside.sum() < 60:
            return motion
        return self.change(self.share * shown, motion, left, length, scale, level, inside)


def object_against_camera(share, motion, left, length, scale, level, inside):
    """Whether a pixel moves like the object before (its own affine motion) or like the camera."""
    apart, own = fitted(BASIS, left, inside * 1.0, 4)
    scale, apart = max(own, scale), blurred(np.sqrt((apart**2).sum(0)), CONSTANTS["blur"])
    return motion + share * np.clip(np.log((1 + (length / scale) ** 2) / (1 + (apart / scale) ** 2)), -2, 2)


def not_unlike_object(share, motion, left, length, scale, level, inside):
    """The same, only against what moves unlike the object."""
    return np.minimum(motion, object_against_camera(share, motion, left, length, scale, level, inside))


def level_of_the_track(share, motion, left, length, scale, level, inside):
    """The threshold from the track's own motion, not from all that moves."""
    own = np.clip(np.median(length[inside]), 2 * scale, level)
    return np.clip(motion - CONSTANTS["motion"] / 4 * share * np.log(own / level), -CONSTANTS["limit"], CONSTANTS["limit"])


def pieces_of_the_track(share, motion, left, length, scale, level, inside):
    """What moves has no say where the track is nowhere near."""
    count, pieces, about, _ = cv2.connectedComponentsWithStats((motion > 0).astype(np.uint8), connectivity=4)
    touched = np.bincount(pieces.ravel(), inside.ravel(), count) > 0.1 * about[:, cv2.CC_STAT_AREA]
    touched[0] = True
    return np.where(touched[pieces], motion, (1 - share) * motion)


def smooth_says_less(half):
    """Evidence against motion counts half where the squared slopes of the brightness are `half`, however far things move."""

    def change(motion, left, length, scale, level, before, weight, frame):
        slopes = squared_slopes(frame)
        return np.where(motion < 0, motion * slopes / (slopes + half), motion)

    return {"constants": CONSTANTS | {"unseen": 0.0}, "alter": change}


VARIANTS = {
    "as shipped": lambda: {},
    "camera: quadratic": lambda: {"camera": quadratic},
    "camera: homography": lambda: {"camera": homography},
    "chained, new 0.7": lambda: {"camera": Chained(0.7)},
    "chained, new 0.3": lambda: {"camera": Chained(0.3)},
    "object against camera, 0.3": lambda: {"alter": Track(object_against_camera, 0.3)},
    "object against camera, 0.6": lambda: {"alter": Track(object_against_camera, 0.6)},
    "not unlike the object, 0.5": lambda: {"alter": Track(not_unlike_object, 0.5)},
    "the track's own level": lambda: {"alter": Track(level_of_the_track, 1.0)},
    "pieces of the track": lambda: {"alter": Track(pieces_of_the_track, 1.0)},
    **{f"smooth, {half}": lambda half=half: smooth_says_less(half) for half in (2, 8, 16, 32, 128)},
    **{f"unseen {half}": lambda half=half: {"constants": CONSTANTS | {"unseen": half}} for half in (0, 4, 8, 32, 64, 128)},
    "without order": lambda: {"constants": CONSTANTS | {"rough": 1e9}},
    **{f"order from {pixels}": lambda pixels=pixels: {"constants": CONSTANTS | {"rough": pixels}} for pixels in (0.5, 0.75)},
    "however little is followed": lambda: {"constants": CONSTANTS | {"share": 1e-9}},
    "everything is followed": lambda: {"constants": CONSTANTS | {"followable": -1.0}},
    "nothing rests": lambda: {"constants": CONSTANTS | {"rests": 1e9}},
    **{f"small {share}": lambda share=share: {"constants": CONSTANTS | {"small": share}} for share in (0.97, 0.99, 0.998)},
}


def main(davis, dump, *names):
    chosen = {name: VARIANTS[name] for name in names or VARIANTS}
    scores = {name: [] for name in chosen}
    for *sequence, truth in sequences(davis, dump):
        for name, variant in chosen.items():
            masks = run(*sequence, **variant())
            scores[name].append((score(masks, truth), flicker(masks)))
    for name, values in scores.items():
        j, flickers = np.transpose(values)
        print(f"| {name} | {j.mean():.3f} | {flickers.mean():.3f} | {' | '.join(f'{value:.2f}' for value in j)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
