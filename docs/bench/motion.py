#!/usr/bin/env python3
"""The motion model in NumPy, to try changes in seconds: lab book, sections 29, 34 and 41.

    cargo run --release -p factorseg-trainer --example motion_dump -- DAVIS dump
    python3 docs/bench/motion.py DAVIS dump            # needs numpy, scipy, scikit-image and opencv-python-headless
    python3 docs/bench/motion.py DAVIS dump --leave-one-out
    python3 docs/bench/motion.py DAVIS dump --cues
    python3 docs/bench/motion.py DAVIS dump --order
    python3 docs/bench/motion.py DAVIS dump --smooth

The second varies each constant and chooses for each sequence the setting that is best on the others. The third takes away the network,
the barrier and motion. The fourth says how much order there is in the flow of each sequence, and how well residuals tell the object.
The fifth smooths the masks in time: in place, along the flow, and along it where the picture is as the flow says.
Scores at 336x192, on DAVIS and on DAVIS with pauses (13 frames up to the middle one, that 25 times more, 7 frames after it).
J with everything as shipped is within 0.005 of `factorseg evaluate davis`. Cameras that stand (lab book, section 56) are left out: none of DAVIS does.
"""
import sys
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/reference"))
from make_barrier_fixture import distances as barrier_distances, threshold as otsu

W, H, CELLS = 336, 192, 32
CONSTANTS = {"motion": 2.0, "itself": 0.25, "network": 0.25, "barrier": 5.0, "most": 4.0, "power": 1.5, "limit": 2.0, "blur": 1.5, "noise": 0.03, "threshold": 2.2, "unseen": 16.0, "around": 0.5, "memory": 0.35, "contrast": 3.5, "lets go": 9.0, "outshines": 14.0, "small": 0.995, "followable": 4.0, "share": 0.3, "rough": 0.6, "orderly": 0.28, "order": 3.0, "rests": 1.5, "resting": 3.0}
LEVEL = 0.97
XX, YY = np.meshgrid(np.arange(W, dtype=np.float32), np.arange(H, dtype=np.float32))
BASIS = np.stack([np.ones_like(XX), (XX - W / 2) / W, (YY - H / 2) / W], -1)


def up(plane):
    return cv2.resize(plane.astype(np.float32), (W, H), interpolation=cv2.INTER_LINEAR)


def down(plane):
    return cv2.resize(plane.astype(np.float32), (W // 2, H // 2), interpolation=cv2.INTER_AREA)


def log_odds(p):
    p = np.clip(p, 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))


def probability(z):
    return 1 / (1 + np.exp(-np.clip(z, -60, 60)))


def blurred(plane, deviation):
    side = 2 * int(np.ceil(3 * deviation)) + 1
    return cv2.GaussianBlur(plane.astype(np.float32), (side, side), deviation, borderType=cv2.BORDER_REFLECT)


def warp(flow, plane):
    return cv2.remap(plane.astype(np.float32), XX + flow[0], YY + flow[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def means(plane, radius=4):
    box = lambda x: cv2.boxFilter(x.astype(np.float32), -1, (2 * radius + 1,) * 2, normalize=False, borderType=cv2.BORDER_CONSTANT)
    count = box(np.ones(plane.shape[:2]))
    return box(plane) / (count if plane.ndim == 2 else count[..., None])


class Guide:
    """The guided filter, fitted at half the size (model/refine/src/guided.rs)."""

    def __init__(self, colors):
        self.colors, self.half = colors, down(colors)
        self.mean = means(self.half)
        pairs = lambda x: np.einsum("yxa,yxb->yxab", x, x).reshape(*x.shape[:2], 9)
        covariance = (means(pairs(self.half)) - pairs(self.mean)).reshape(*self.half.shape[:2], 3, 3)
        self.inverse = np.linalg.inv(covariance.astype(np.float64) + 1e-4 * np.eye(3))

    def follow(self, plane):
        target = down(plane)
        mean = means(target)
        slopes = np.einsum("yxab,yxb->yxa", self.inverse, means(self.half * target[..., None]) - self.mean * mean[..., None])
        offset = mean - (slopes * self.mean).sum(-1)
        return up(means(offset)) + (up(means(slopes)) * self.colors).sum(-1)


def residual(flow, followable=np.ones((H, W), bool), rounds=8):
    """What is left of a flow without the camera's affine motion, and its median (model/refine/src/camera.rs)."""
    places = followable[::4, ::4]
    if not places.any():
        return flow, 0.02
    basis = BASIS[::4, ::4][places].astype(np.float64)
    values = np.moveaxis(flow[:, ::4, ::4], 0, -1)[places].astype(np.float64)
    weights = np.ones(len(basis))
    for _ in range(rounds):
        weighted = basis * weights[:, None]
        fit = np.linalg.solve(weighted.T @ basis + 1e-6 * np.eye(3), weighted.T @ values)
        length = np.sqrt(((values - basis @ fit) ** 2).sum(1))
        scale = max(np.quantile(length, 0.5), 0.02)
        weights = (1 + (length / scale) ** 2) ** -2
    return flow - np.einsum("yxb,bc->cyx", BASIS, fit), scale


def squared_slopes(frame):
    """Squared slopes of the brightness, in grey levels a pixel, means of windows."""
    brightness = np.pad(255 * (frame @ np.array([0.299, 0.587, 0.114], np.float32)), 1, "edge")
    return means((np.stack(np.gradient(brightness))[:, 1:-1, 1:-1] ** 2).sum(0), 5)


def roughness(flow):
    """Deviation of displacements in a window around each pixel (model/refine/src/roughness.rs)."""
    own = [means(component, 3) for component in flow]
    variance = sum(means(component**2, 3) - mean**2 for component, mean in zip(flow, own))
    return np.sqrt(np.maximum(variance, 0))


def median_roughness(rough, followable):
    sample = rough[4::8, 4::8][followable[4::8, 4::8]]
    return np.median(sample) if sample.size else 0.0


class Appearance:
    """Running histograms of the object's and the surroundings' colours (model/refine/src/appearance.rs)."""

    def __init__(self, place=1.5, limit=2.0):
        self.counts, self.trust, self.place, self.limit = None, 0.0, place, limit

    def histogram(self, cells, weights):
        cube = np.bincount(cells, weights, CELLS**3).reshape(CELLS, CELLS, CELLS)
        for axis in range(3):
            cube = gaussian_filter1d(cube, 1.0, axis=axis, mode="reflect", truncate=3)
        return cube.ravel()

    def log_odds(self, cells, before):
        if self.counts is None:
            return None
        shares = [counts[cells] / counts.sum() + 1e-5 for counts in self.counts]
        colors = np.clip(np.log(shares[0] / shares[1]), -self.limit, self.limit).reshape(H // 2, W // 2)
        near = blurred(down(before), 4.0)
        return blurred(colors, 1.0) + self.place * np.log((near + 0.02) / (1 - near + 0.02))

    def learn(self, cells, judged, guess):
        judged = down(judged)
        if guess is not None:
            both, any_ = ((guess > 0) & (judged > 0)).sum(), ((guess > 0) | (judged > 0)).sum()
            self.trust += 0.2 * (np.clip((both / max(any_, 1) - 0.3) / 0.4, 0, 1) - self.trust)
        z = judged.ravel()
        new = [self.histogram(cells, np.where(np.abs(z) > 0.5, probability(sign * z), 0)) for sign in (1, -1)]
        self.counts = new if self.counts is None else [0.9 * old + fresh for old, fresh in zip(self.counts, new)]


def apart(distances, k):
    """Log-odds of the object by how far pixels are from the frame's border (model/refine/src/barrier.rs)."""
    powers = distances ** k["power"]
    return np.minimum(k["barrier"] * (powers - otsu(powers)) / (powers.std() + 10), k["most"])


def run(frames, guides, network, distances, flows, memory=True, constants=CONSTANTS, camera=residual, alter=None):
    """Probabilities of the object in successive frames. `camera` and `alter` are for motion_variants.py: another camera's motion, and
    a change of the evidence of motion, from what it is made of, the mask before, brought along, and the frame."""
    k, appearance, out, previous, sure = constants, Appearance(), [], None, 0.0
    for frame, guide, net, distance, flow in zip(frames, guides, network, distances, flows):
        z, weight, guess = log_odds(up(net)), 0.0, None
        grid = np.minimum((down(frame) * CELLS).astype(int), CELLS - 1)
        cells = ((grid[..., 0] * CELLS + grid[..., 1]) * CELLS + grid[..., 2]).ravel()
        if previous is not None:
            slopes = squared_slopes(frame)
            followable = slopes > k["followable"]
            left, scale = camera(flow, followable)
            length = blurred(np.sqrt((left**2).sum(0)), k["blur"])
            scale += k["noise"]
            before = warp(flow, previous)
            levels = [np.quantile(length[followable], share) if followable.any() else 0.0 for share in (LEVEL, k["small"])]
            weights = [float(np.clip(np.log2(max(level / (k["contrast"] * scale), 1e-30)), 0, 1)) for level in levels]
            small = int(weights[1] > weights[0] and (before > 0).mean() < 1 - LEVEL)
            followed = min(followable.mean() / k["share"], 1)
            level, weight = levels[small], followed * weights[small]
            rise = lambda full: followed * float(np.clip(np.log(max(level / (k["contrast"] * scale), 1e-30)) / np.log(full / k["contrast"]), 0, 1))
            rough = roughness(flow)
            median = median_roughness(rough, followable)
            disorder = followed * float(np.clip(np.log2(max(median / k["rough"], 1e-30)), 0, 1))
            moved, weight, lets_go, outshines = (1 - disorder) * weight, *(max(told, disorder) for told in (weight, rise(k["lets go"]), rise(k["outshines"])))
            sure = max(sure + 0.2 * (weight - sure), 0.995 * sure)
            shown = min(sure / 0.2, 1)
            z = (1 - shown) * z + shown * (up(apart(distance, k)) + k["network"] * z)
            guess = appearance.log_odds(cells, probability(before)) if memory else None
            if guess is not None:
                z = z + appearance.trust * (1 - outshines) * (up(guess) - z)
            motion = np.clip(np.log((length + 1e-3) / max(k["threshold"] * np.sqrt(scale * level), 1e-30)), -k["limit"], k["limit"])
            change = slopes * level**2
            seen = change / (change + k["unseen"] + 1e-9)
            around = up(means(down(motion * seen), 2) / (means(down(seen), 2) + 0.02))
            motion = np.where(motion < 0, motion * seen, motion) + k["around"] * (1 - seen) * around
            if guess is not None:
                rests = appearance.trust * probability(k["resting"] * (up(guess) - k["rests"]))
                motion = np.where(motion < 0, motion * (1 - rests), motion)
            if alter is not None:
                motion = alter(motion, left, length, scale, level, warp(flow, out[-1]), weight, frame)
            order = k["order"] * np.log(k["orderly"] * median / (up(rough[1::2, 1::2]) + 1e-3)) if disorder else 0
            motion = moved * motion + disorder * np.clip(order, -k["limit"], k["limit"])
            z = (1 - weight * (1 - k["itself"])) * z + k["motion"] * motion
            still = 0.9 + 0.1 * sure
            z = z + (still + lets_go * (k["memory"] - still)) * (before - z)
        previous = z
        judged = guide.follow(z)
        if weight > 0.5 and memory:
            appearance.learn(cells, judged, guess)
        out.append(probability(judged))
    return np.stack(out)


def score(masks, truth):
    found = masks > 0.5
    union = (found | truth).sum((1, 2))
    return np.where(union > 0, (found & truth).sum((1, 2)) / np.maximum(union, 1), 1.0)[1:].mean()


def flicker(masks):
    """The mean of 1 - IoU of successive masks."""
    found = masks > 0.5
    both, either = (found[1:] & found[:-1]).sum((1, 2)), (found[1:] | found[:-1]).sum((1, 2))
    return np.where(either > 0, 1 - both / np.maximum(either, 1), 0.0).mean()


def sequences(davis, dump):
    """Of each sequence: frames, guides, the network's probabilities, barrier distances, flows and annotations."""
    for folder in sorted(Path(dump).iterdir()):
        frames = np.fromfile(folder / "frames.u8", np.uint8).reshape(-1, 2 * H, 2 * W, 3)
        frames = [cv2.resize(frame, (W, H), interpolation=cv2.INTER_AREA).astype(np.float32) / 255 for frame in frames]
        network = np.fromfile(folder / "network.f32", np.float32).reshape(-1, H // 2, W // 2)
        flows = [None, *np.fromfile(folder / "flow.f32", np.float32).reshape(-1, 2, H, W)]
        files = sorted((Path(davis) / "Annotations/480p" / folder.name).glob("*.png"))
        area = lambda file: cv2.resize((cv2.imread(str(file), 0) > 0) * np.uint8(255), (W, H), interpolation=cv2.INTER_AREA)
        quarters = [cv2.resize(frame, (W // 2, H // 2), interpolation=cv2.INTER_AREA) for frame in frames]
        distances = [barrier_distances(2 * np.moveaxis(quarter, 2, 0) - 1) for quarter in quarters]
        yield frames, [Guide(frame) for frame in frames], network, distances, flows, np.stack([area(file) > 127 for file in files])


def main(davis, dump):
    rows = {}
    for frames, guides, network, distances, flows, truth in sequences(davis, dump):
        middle = len(frames) // 2
        order = [*range(max(0, middle - 12), middle + 1), *[middle] * 25, *range(middle + 1, min(len(frames), middle + 8))]
        still = np.zeros((2, H, W), np.float32)
        paused = [still if i and order[i] == order[i - 1] else flows[at] for i, at in enumerate(order)]
        pick = lambda values: [values[at] for at in order]
        for memory in (False, True):
            rows.setdefault(("DAVIS", memory), []).append(score(run(frames, guides, network, distances, flows, memory), truth))
            masks = run(pick(frames), pick(guides), pick(network), pick(distances), paused, memory)
            rows.setdefault(("pauses", memory), []).append(score(masks, truth[order]))
    for (what, memory), values in sorted(rows.items()):
        print(f"{what:7} {'with' if memory else 'without'} the memory of looks: J {np.mean(values):.3f} ", *(f"{v:.2f}" for v in values))


def leave_one_out(davis, dump):
    settings = [CONSTANTS] + [CONSTANTS | {name: CONSTANTS[name] * factor} for name in CONSTANTS for factor in (0.7, 1.4) if name != "small"]
    settings += [CONSTANTS | {"small": share} for share in (0.97, 0.99, 0.998)]
    scores = np.array([[score(run(*sequence[:5], constants=k), sequence[5]) for k in settings] for sequence in sequences(davis, dump)])
    means = scores.mean(0)
    others = (scores.sum(0) - scores).argmax(1)
    print(f"shipped J {means[0]:.3f}; best of {len(settings)} settings on all {means.max():.3f}: {settings[means.argmax()]}")
    print(f"chosen on the others, scored on the one left out: J {scores[np.arange(len(scores)), others].mean():.3f} ", *others)
    for k, mean in zip(settings[1:], means[1:]):
        print(*(f"{name} {value:.3g}" for name, value in k.items() if value != CONSTANTS[name]), f"J {mean:.3f}")


def cues(davis, dump):
    """J of frames by themselves and of the video, with some of the network, the barrier and motion taken away."""
    rows = {}
    for frames, guides, network, distances, flows, truth in sequences(davis, dump):
        for name, changes in {"all": {}, "no network": {"network": 0.0}, "no barrier": {"barrier": 0.0, "network": 1.0}}.items():
            k = CONSTANTS | changes
            alone = [guide.follow(k["network"] * log_odds(up(net)) + up(apart(distance, k))) > 0 for guide, net, distance in zip(guides, network, distances)]
            rows.setdefault((name, "a frame by itself"), []).append(score(np.stack(alone), truth))
            rows.setdefault((name, "video"), []).append(score(run(frames, guides, network, distances, flows, constants=k), truth))
    for (name, what), values in rows.items():
        print(f"{name:10} {what:17} J {np.mean(values):.3f} ", *(f"{v:.2f}" for v in values))


def order(davis, dump):
    for folder, (frames, _, _, _, flows, truth) in zip(sorted(Path(dump).iterdir()), sequences(davis, dump)):
        rows = []
        for frame, flow, mask in zip(frames[1:], flows[1:], truth[1:]):
            followable = squared_slopes(frame) > CONSTANTS["followable"]
            left, scale = residual(flow, followable)
            ranks = np.sqrt((left**2).sum(0)).ravel().argsort().argsort()
            inside = ranks[mask.ravel()]
            under = (inside.mean() - (len(inside) - 1) / 2) / max(mask.size - len(inside), 1) if len(inside) else np.nan
            rough = roughness(flow)
            rows.append([scale, under, median_roughness(rough, followable), np.median(rough[mask]) if mask.any() else np.nan])
        scale, under, rough, within = np.nanmedian(rows, 0)
        print(f"{folder.name}: residuals' median {scale:.2f}, area under the curve {under:.2f};"
              f" median roughness {rough:.2f} (largest {np.max(rows, 0)[2]:.2f}), the object's {within:.2f}")


def smooth(davis, dump):
    rows = {}
    for frames, guides, network, distances, flows, truth in sequences(davis, dump):
        masks = run(frames, guides, network, distances, flows)
        rows.setdefault("as shipped", []).append((score(masks, truth), flicker(masks)))
        for name in ("in place", "along the flow", "along the flow where it is right"):
            for share in (0.3, 0.5):
                out = [masks[0]]
                for at in range(1, len(masks)):
                    weight, before = share, out[-1]
                    if name != "in place":
                        before = warp(flows[at], before)
                    if name.endswith("right"):
                        seen = np.stack([warp(flows[at], channel) for channel in np.moveaxis(frames[at - 1], 2, 0)], -1)
                        weight = share * np.exp(-((blurred(np.abs(frames[at] - seen).mean(-1), 1.5) / 0.03) ** 2))
                    out.append(masks[at] + weight * (before - masks[at]))
                rows.setdefault(f"{name}, {share}", []).append((score(np.stack(out), truth), flicker(np.stack(out))))
    for name, values in rows.items():
        j, changes = np.mean(values, 0)
        print(f"{name}: J {j:.3f}, flicker {changes:.3f}")


if __name__ == "__main__":
    modes = {"--leave-one-out": leave_one_out, "--cues": cues, "--order": order, "--smooth": smooth}
    next((modes[word] for word in sys.argv if word in modes), main)(*sys.argv[1:3])
