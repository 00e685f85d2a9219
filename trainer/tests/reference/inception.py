"""Writes inception.json: Inception-v3 as pytorch-fid runs it, in plain PyTorch, on weights that a formula makes.

    python trainer/tests/reference/inception.py
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F


def numbers(count, seed):
    at = np.arange(count, dtype=np.uint64)
    mixed = (at * np.uint64(2654435761) + np.uint64(seed * 40503 + 12345)) % np.uint64(1 << 32)
    mixed = (mixed ^ (mixed >> np.uint64(15))) * np.uint64(2246822519) % np.uint64(1 << 32)
    return mixed.astype(np.float32) / np.float32(1 << 32) - np.float32(0.5)


layers = []


def conv(x, name, outputs, kernel, stride=1, padding=0):
    height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    shape = [outputs, x.shape[1], height, width]
    seed = len(layers) * 10
    layers.append([name, shape])
    inputs = shape[1] * height * width
    weight = numbers(outputs * inputs, seed) * np.sqrt(np.float32(24.0) / np.float32(inputs))
    vector = lambda seed, offset: torch.tensor(numbers(outputs, seed) * np.float32(0.2) + np.float32(offset))
    gain, bias, mean, var = (vector(seed + 1 + i, offset) for i, offset in enumerate([1.0, 0.0, 0.0, 1.0]))
    x = F.conv2d(x, torch.tensor(weight).reshape(shape), stride=stride, padding=padding)
    return F.relu(F.batch_norm(x, mean, var, gain, bias, eps=0.001))


average = lambda x: F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def block_a(x, name, pool):
    one = conv(x, name + ".branch1x1", 64, 1)
    five = conv(conv(x, name + ".branch5x5_1", 48, 1), name + ".branch5x5_2", 64, 5, padding=2)
    three = conv(conv(x, name + ".branch3x3dbl_1", 64, 1), name + ".branch3x3dbl_2", 96, 3, padding=1)
    three = conv(three, name + ".branch3x3dbl_3", 96, 3, padding=1)
    return torch.cat([one, five, three, conv(average(x), name + ".branch_pool", pool, 1)], 1)


def block_b(x, name):
    short = conv(x, name + ".branch3x3", 384, 3, stride=2)
    long = conv(conv(x, name + ".branch3x3dbl_1", 64, 1), name + ".branch3x3dbl_2", 96, 3, padding=1)
    long = conv(long, name + ".branch3x3dbl_3", 96, 3, stride=2)
    return torch.cat([short, long, F.max_pool2d(x, 3, stride=2)], 1)


def block_c(x, name, c):
    across, down = ((1, 7), (0, 3)), ((7, 1), (3, 0))
    one = conv(x, name + ".branch1x1", 192, 1)
    short = conv(x, name + ".branch7x7_1", c, 1)
    for i, (outputs, (kernel, padding)) in enumerate([(c, across), (192, down)]):
        short = conv(short, f"{name}.branch7x7_{i + 2}", outputs, kernel, padding=padding)
    long = conv(x, name + ".branch7x7dbl_1", c, 1)
    for i, (outputs, (kernel, padding)) in enumerate([(c, down), (c, across), (c, down), (192, across)]):
        long = conv(long, f"{name}.branch7x7dbl_{i + 2}", outputs, kernel, padding=padding)
    return torch.cat([one, short, long, conv(average(x), name + ".branch_pool", 192, 1)], 1)


def block_d(x, name):
    short = conv(conv(x, name + ".branch3x3_1", 192, 1), name + ".branch3x3_2", 320, 3, stride=2)
    long = conv(x, name + ".branch7x7x3_1", 192, 1)
    long = conv(long, name + ".branch7x7x3_2", 192, (1, 7), padding=(0, 3))
    long = conv(long, name + ".branch7x7x3_3", 192, (7, 1), padding=(3, 0))
    long = conv(long, name + ".branch7x7x3_4", 192, 3, stride=2)
    return torch.cat([short, long, F.max_pool2d(x, 3, stride=2)], 1)


def block_e(x, name, pool):
    one = conv(x, name + ".branch1x1", 320, 1)
    short = conv(x, name + ".branch3x3_1", 384, 1)
    short = [conv(short, name + ".branch3x3_2a", 384, (1, 3), padding=(0, 1)),
             conv(short, name + ".branch3x3_2b", 384, (3, 1), padding=(1, 0))]
    long = conv(conv(x, name + ".branch3x3dbl_1", 448, 1), name + ".branch3x3dbl_2", 384, 3, padding=1)
    long = [conv(long, name + ".branch3x3dbl_3a", 384, (1, 3), padding=(0, 1)),
            conv(long, name + ".branch3x3dbl_3b", 384, (3, 1), padding=(1, 0))]
    return torch.cat([one, *short, *long, conv(pool(x), name + ".branch_pool", 192, 1)], 1)


def features(x):
    x = 2 * F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1
    x = conv(x, "Conv2d_1a_3x3", 32, 3, stride=2)
    x = conv(x, "Conv2d_2a_3x3", 32, 3)
    x = F.max_pool2d(conv(x, "Conv2d_2b_3x3", 64, 3, padding=1), 3, stride=2)
    x = conv(x, "Conv2d_3b_1x1", 80, 1)
    x = F.max_pool2d(conv(x, "Conv2d_4a_3x3", 192, 3), 3, stride=2)
    for name, pool in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)]:
        x = block_a(x, name, pool)
    x = block_b(x, "Mixed_6a")
    for name, c in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)]:
        x = block_c(x, name, c)
    x = block_d(x, "Mixed_7a")
    x = block_e(x, "Mixed_7b", average)
    x = block_e(x, "Mixed_7c", lambda x: F.max_pool2d(x, 3, stride=1, padding=1))
    return F.adaptive_avg_pool2d(x, 1).flatten()


width, height = 37, 29
pixels = np.floor((numbers(width * height * 3, 99) + np.float32(0.5)) * np.float32(256)).clip(0, 255).astype(np.uint8)
with torch.no_grad():
    found = features(torch.tensor(pixels.reshape(1, height, width, 3)).permute(0, 3, 1, 2).float() / 255)
assert found.shape == (2048,) and found.isfinite().all()
print(found.mean().item(), found.std().item(), found.max().item())
out = {"layers": layers, "width": width, "height": height, "pixels": pixels.tolist(),
       "features": [float(f"{value:.7g}") for value in found.tolist()]}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(out) + "\n")
