"""safetensors files of NumPy arrays: no package but NumPy is needed.

The package `safetensors` (safetensors.numpy.load_file, save_file) reads and writes the same files.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy
from numpy.typing import ArrayLike, NDArray

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U64": "<u8", "U32": "<u4",
         "U8": "|u1", "BOOL": "|b1"}
NAMES = {numpy.dtype(type_): name for name, type_ in TYPES.items()}


def load(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Name -> array, in the order of the file's header. BF16 becomes float32. ValueError naming the file where it is
    none of this format, or is cut off."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        return _parse(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{os.fspath(path)} is no whole safetensors file: {error!r}") from error


def _parse(content: bytes) -> dict[str, NDArray[Any]]:
    start = 8 + int.from_bytes(content[:8], "little")
    arrays = {}
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            data = content[start + begin:start + end]
            if entry["dtype"] == "BF16":  # the upper half of a float32
                array = (numpy.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
            else:
                array = numpy.frombuffer(data, TYPES[entry["dtype"]])
            arrays[name] = array.reshape(entry["shape"]).copy()
    return arrays


def save(path: str | os.PathLike[str], arrays: Mapping[str, ArrayLike],
         metadata: Mapping[str, str] | None = None) -> None:
    """Writes arrays, or what numpy.asarray makes arrays of, in their order. TypeError naming an array of a type that
    the format does not have; then no file was written."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts: list[bytes] = []
    end = 0
    for name, value in arrays.items():
        array = numpy.asarray(value)
        if array.dtype not in NAMES:
            raise TypeError(f"{name} is an array of {array.dtype}; allowed: {', '.join(map(str, NAMES))}")
        parts.append(array.tobytes())
        begin, end = end, end + len(parts[-1])
        header[name] = {"dtype": NAMES[array.dtype], "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(parts))
