"""Writes trainer/data/tests/fixtures/resample.bin: images resampled by guided-diffusion's rules with Pillow.

    python trainer/tests/reference/resample.py

The rules are those of guided_diffusion/image_datasets.py (`center_crop_arr`): halve with BOX while the shorter side is
at least twice the target, one BICUBIC step, then the middle square. Each record of the file is five little-endian
u32 (input width, height, output width, height, target side), the input's RGB bytes, and the output's.
"""

import struct
from pathlib import Path

import numpy as np
from PIL import Image

CASES = [(64, 48, 16), (50, 31, 16), (37, 37, 24), (20, 13, 16), (131, 97, 16), (16, 16, 16), (90, 61, 30)]


def picture(width, height):
    y, x = np.mgrid[:height, :width].astype(np.int64)
    channels = [(x * 31 + y * 17 + c * 71 + (x * y) % 13 * 19) % 256 for c in range(3)]
    return Image.fromarray(np.stack(channels, 2).astype(np.uint8), "RGB")


def resample(image, side):
    while min(*image.size) >= 2 * side:
        image = image.resize(tuple(x // 2 for x in image.size), resample=Image.BOX)
    scale = side / min(*image.size)
    return image.resize(tuple(round(x * scale) for x in image.size), resample=Image.BICUBIC)


def main():
    out = b""
    for width, height, side in CASES:
        image = picture(width, height)
        result = resample(image, side)
        out += struct.pack("<5I", width, height, *result.size, side) + image.tobytes() + result.tobytes()
    path = Path(__file__).parents[2] / "data/tests/fixtures/resample.bin"
    path.write_bytes(out)
    print(path, len(out))


if __name__ == "__main__":
    main()
