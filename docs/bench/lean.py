#!/usr/bin/env python3
"""A checkpoint whose `none` leans towards one of its classes: lab book, sections 51 and 52.

    python3 docs/bench/lean.py OUT CHECKPOINT CLASS SHARE     # needs numpy; CLASS by name, such as footage; SHARE from 0 to 1

The embedding of `none` becomes (1 - SHARE) of itself and SHARE of the class's. The weights have to be in float32.
"""
import json
import sys

import numpy as np

out, path, name, share = sys.argv[1:]
share = float(share)
with open(path, "rb") as file:
    data = bytearray(file.read())
start = 8 + int.from_bytes(data[:8], "little")
header = json.loads(data[8:start])
names = [each["name"] for each in json.loads(header["__metadata__"]["factorseg.info"])["classes"]]
if name not in names:
    sys.exit(f"{path} has no class {name}")
tensor = header["class_embedding.weight"]
first, end = (start + offset for offset in tensor["data_offsets"])
# The row behind those of the classes is that of `none`.
rows = np.frombuffer(data[first:end], np.float32).reshape(tensor["shape"]).copy()
rows[-1] = (1 - share) * rows[-1] + share * rows[names.index(name)]
data[first:end] = rows.tobytes()
with open(out, "wb") as file:
    file.write(data)
