#!/usr/bin/env python3
"""The mean of the weights of checkpoints of one run, or of runs from the same weights, as a checkpoint: the model card's embedded one.

    python3 docs/bench/mean.py OUT CHECKPOINT CHECKPOINT...     # needs numpy

Everything but the weights, which have to be in float32, is that of the first one.
"""
import json
import sys

import numpy as np


def read(path):
    """The header with its length, where it says that each tensor lies, and the weights."""
    with open(path, "rb") as file:
        length = file.read(8)
        header = file.read(int.from_bytes(length, "little"))
        weights = np.frombuffer(file.read(), np.float32)
    tensors = json.loads(header)
    del tensors["__metadata__"]
    return length + header, tensors, weights


out, *paths = sys.argv[1:]
headers, layouts, weights = zip(*map(read, paths))
if any(layout != layouts[0] for layout in layouts):
    sys.exit("these checkpoints hold different networks")
with open(out, "wb") as file:
    file.write(headers[0] + np.mean(weights, 0, np.float64).astype(np.float32).tobytes())
