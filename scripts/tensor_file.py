"""safetensors files of NumPy arrays, for Python programs of this repository: no package but NumPy is needed.

The package `safetensors` (safetensors.numpy.load_file, save_file) reads and writes the same files.
"""

import json

import numpy

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U64": "<u8", "U32": "<u4",
         "U8": "|u1", "BOOL": "|b1"}
NAMES = {numpy.dtype(type): name for name, type in TYPES.items()}


def load(path):
    """Name -> array, in the order of the file's header."""
    with open(path, "rb") as file:
        content = file.read()
    start = 8 + int.from_bytes(content[:8], "little")
    arrays = {}
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            array = numpy.frombuffer(content[start + begin:start + end], TYPES[entry["dtype"]])
            arrays[name] = array.reshape(entry["shape"]).copy()
    return arrays


def save(path, arrays):
    """Writes arrays, or what numpy.asarray makes arrays of, in their order."""
    header, parts, end = {}, [], 0
    for name, value in arrays.items():
        array = numpy.asarray(value)
        parts.append(array.tobytes())
        begin, end = end, end + len(parts[-1])
        header[name] = {"dtype": NAMES[array.dtype], "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(parts))
