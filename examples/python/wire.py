"""pompc's messages and services for Python, generated from proto/ when first imported, and the float arrays in them.

Needs protoc with grpc_python_plugin (Debian: protobuf-compiler, protobuf-compiler-grpc) or the package grpcio-tools.
"""

import importlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy

# Of the messages: kWireVersion in common/rpc/wire.h.
WIRE_VERSION = 2
_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def _generate(folder):
    files = [f"proto/{path.name}" for path in sorted((_ROOT / "proto").glob("*.proto"))]
    plugin = shutil.which("grpc_python_plugin")
    if plugin and shutil.which("protoc"):
        compiler = ["protoc", f"--plugin=protoc-gen-grpc_python={plugin}"]
    else:
        compiler = [sys.executable, "-m", "grpc_tools.protoc"]
    done = subprocess.run([*compiler, f"-I{_ROOT}", f"--python_out={folder}", f"--grpc_python_out={folder}", *files],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"cannot generate the messages (install protobuf-compiler-grpc, or grpcio-tools):\n{done.stderr}")
    # So that no installed package of this name is taken instead.
    pathlib.Path(folder, "proto", "__init__.py").touch()


with tempfile.TemporaryDirectory() as _folder:
    _generate(_folder)
    sys.path.insert(0, _folder)
    importlib.invalidate_caches()
    common = importlib.import_module("proto.common_pb2")
    trajectory = importlib.import_module("proto.trajectory_pb2")
    replay = importlib.import_module("proto.replay_pb2")
    planner = importlib.import_module("proto.planner_pb2")
    run = importlib.import_module("proto.run_pb2")
    ReplayStub = importlib.import_module("proto.replay_pb2_grpc").ReplayServiceStub
    PlannerStub = importlib.import_module("proto.planner_pb2_grpc").PlannerServiceStub
    RunStub = importlib.import_module("proto.run_pb2_grpc").RunServiceStub
    sys.path.remove(_folder)


def header(run_id):
    return common.Header(wire_version=WIRE_VERSION, run_id=run_id)


def to_bytes(numbers):
    """Little-endian float32, row-major."""
    return numpy.asarray(numbers, dtype="<f4").tobytes()


def to_array(data):
    return numpy.frombuffer(data, dtype="<f4")
