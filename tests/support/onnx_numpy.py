"""Computes with ONNX files in NumPy: the operators that pompc's exports use, in place of onnxruntime."""

import os
import pathlib
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
from pompc.messages import OnnxModel  # pylint: disable=wrong-import-position

TYPES = {1: numpy.dtype("<f4"), 7: numpy.dtype("<i8")}


def softmax(x, axis):
    powers = numpy.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def layer_norm(x, scale, bias=None, axis=-1):
    assert axis == -1
    centred = x - x.mean(-1, keepdims=True)
    normed = centred / numpy.sqrt((centred**2).mean(-1, keepdims=True) + numpy.float32(1e-5)) * scale
    return normed if bias is None else normed + bias


def reshape(x, shape):
    return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(shape)])


# By the definitions of ONNX's opset 17.
OPERATORS = {
    "Identity": lambda x: x, "Gemm": lambda x, w, b: x @ w + b, "MatMul": numpy.matmul, "Add": numpy.add,
    "Sub": numpy.subtract, "Mul": numpy.multiply, "Tanh": numpy.tanh, "Exp": numpy.exp, "Abs": numpy.abs,
    "Sign": numpy.sign, "Softplus": lambda x: numpy.logaddexp(numpy.float32(0), x), "Softmax": softmax,
    "Sigmoid": lambda x: 1 / (1 + numpy.exp(-x)), "Clip": numpy.clip, "Reshape": reshape,
    "Squeeze": lambda x, axes: numpy.squeeze(x, tuple(axes)), "LayerNormalization": layer_norm,
    "Concat": lambda *parts, axis: numpy.concatenate(parts, axis),
    "Split": lambda x, sizes, axis: numpy.split(x, numpy.cumsum(sizes)[:-1], axis)}


class InferenceSession:
    """The interface of onnxruntime's, as far as pompc's check uses it. The environment variable ONNX_NUMPY_ERROR is
    added to every output, so that tests see what happens to a file that computes something else."""

    def __init__(self, path, options=None, providers=None):
        del options, providers
        self.model = OnnxModel.FromString(pathlib.Path(path).read_bytes())
        self.constants = {}
        for tensor in self.model.graph.initializer:
            self.constants[tensor.name] = numpy.frombuffer(tensor.raw_data, TYPES[tensor.data_type]).reshape(
                list(tensor.dims))

    def get_outputs(self):
        return self.model.graph.output

    def run(self, names, inputs):
        values = {**self.constants, **inputs}
        for node in self.model.graph.node:
            settings = {attribute.name: attribute.i for attribute in node.attribute}
            made = OPERATORS[node.op_type](*(values[name] for name in node.input), **settings)
            made = made if len(node.output) > 1 else [made]
            values.update(zip(node.output, made))
        error = numpy.float32(os.environ.get("ONNX_NUMPY_ERROR", 0))
        return [values[name] + error for name in names]


class SessionOptions:
    """Takes what onnxruntime's takes."""
