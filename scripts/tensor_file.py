"""safetensors files of NumPy arrays, for Python programs of this repository: load and save of python/pompc."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "python"))
from pompc.tensor_file import load, save  # noqa: E402,F401  pylint: disable=wrong-import-position,unused-import
