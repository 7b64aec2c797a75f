"""Compares ONNX files with pompc's own numbers, by onnxruntime. `pompc checkpoint export` gives it to Python before
python/pompc/tensor_file.py, whose `load` it uses, and a call of main(); it is no module.

Arguments: TOLERANCE NUMBERS.safetensors REPORT FILE.onnx...; the arrays are N/input/NAME, N/output/NAME and, in float64,
N/exact/NAME for the N-th file. A difference may be TOLERANCE of an array's largest number, or ROUNDINGS times what
float32 has rounded in pompc's own: trained policies are steep, and round more than TOLERANCE. Writes one sentence to
REPORT. Exit status 1, with a line that says what differs, if anything does."""

import sys


def tell(words):
    with open(sys.argv[3], "w", encoding="utf-8") as report:
        report.write(words)


# Two programs that round alike, one of which had luck, are less apart than this.
ROUNDINGS = 4

# Before anything else, since tensor_file needs NumPy.
try:
    import numpy  # noqa: F401
    import onnxruntime
except ImportError as problem:
    tell(f"not compared with onnxruntime: {problem} (pip install onnxruntime numpy)")
    sys.exit(0)


def check(tolerance, numbers, files):
    """A sentence about the differences; SystemExit naming the first one that is too large."""
    arrays, largest, rounded, outputs = load(numbers), 0.0, 0.0, 0  # noqa: F821
    for i, file in enumerate(files):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        inputs = {name.rpartition("/")[2]: array for name, array in arrays.items() if name.startswith(f"{i}/input/")}
        names = [output.name for output in session.get_outputs()]
        for name, theirs in zip(names, session.run(names, inputs)):
            ours = arrays[f"{i}/output/{name}"]
            if ours.shape != theirs.shape:
                sys.exit(f"{file}: {name} has the shape {theirs.shape}, and pompc's {ours.shape}")
            scale = max(1, abs(ours).max())
            difference = float(abs(theirs - ours).max() / scale)
            rounding = float(abs(arrays[f"{i}/exact/{name}"] - ours).max() / scale)
            allowed = max(tolerance, ROUNDINGS * rounding)
            if not difference <= allowed:
                sys.exit(f"{file}: {name} differs from pompc's by {difference:.2g} of its largest number; "
                         f"{allowed:.2g} is allowed")
            largest, rounded, outputs = max(largest, difference), max(rounded, rounding), outputs + 1
    return (f"onnxruntime {onnxruntime.__version__} computes what pompc does: {outputs} outputs differ by at most "
            f"{largest:.2g} of their largest number (float32 alone rounds by {rounded:.2g})")


def main():
    tell(check(float(sys.argv[1]), sys.argv[2], sys.argv[4:]))
