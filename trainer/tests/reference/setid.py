"""Writes a small `setid.mat` of Oxford flowers as SciPy does, plain and compressed, beside the test that reads it.

    python trainer/tests/reference/setid.py
"""

from pathlib import Path

import numpy as np
from scipy.io import savemat

# What is asked for comes last, so that a file that is cut short lacks it.
SETS = {"tstid": np.array([[4.0, 6.0]]), "trnid": np.array([[1, 3]], np.uint16), "valid": np.array([[5, 2]], np.uint8)}

for name, compressed in [("setid.mat", False), ("setid_compressed.mat", True)]:
    path = Path(__file__).parents[2] / "src/evaluate/items/tests" / name
    savemat(path, SETS, do_compression=compressed)
    print(path, path.stat().st_size)
