"""Reads the repository's proto/: the messages' descriptions, and their types for type checkers.

Used where the package is built, and by a package that is run out of a checkout. Imports nothing of the package.
"""

import importlib.util
import keyword
import pathlib
import shutil
import subprocess
import sys
from typing import Any

PACKAGE = "pompc.proto"
_PROTOC_SECONDS = 60


def describe(root: pathlib.Path) -> bytes:
    """The serialised FileDescriptorSet of `root`/proto: each file after those that it imports. RuntimeError where
    neither grpcio-tools nor protoc (Debian: protobuf-compiler) is there, or the files are wrong."""
    files = [f"proto/{path.name}" for path in sorted((root / "proto").glob("*.proto"))]
    protoc = shutil.which("protoc")
    own = importlib.util.find_spec("grpc_tools") is not None
    command = [*([sys.executable, "-m", "grpc_tools.protoc"] if own or not protoc else [protoc]), f"-I{root}",
               "--include_imports", "--descriptor_set_out=/dev/stdout", *files]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PROTOC_SECONDS,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"cannot read the messages in {root / 'proto'}: {error}") from None
    if done.returncode != 0:
        raise RuntimeError(f"cannot read the messages in {root / 'proto'} (this needs protobuf-compiler or "
                           f"grpcio-tools): {done.stderr.decode(errors='replace')}")
    return done.stdout


def write(root: pathlib.Path, folder: pathlib.Path) -> None:
    """Writes messages.binpb and messages.pyi into the package at `folder`."""
    described = describe(root)
    (folder / "messages.binpb").write_bytes(described)
    (folder / "messages.pyi").write_text(interface(described), encoding="utf-8")


def interface(described: bytes) -> str:
    """The types of the module messages, as a stub file."""
    from google.protobuf import descriptor_pb2
    lines = ["from collections.abc import Iterable", "from typing import Any", "", "_Bytes = bytes", "",
             "services: dict[str, list[Any]]", "", "class Message:", "    def SerializeToString(self) -> bytes: ...",
             "    def ByteSize(self) -> int: ...", "    def HasField(self, name: str) -> bool: ...",
             "    def WhichOneof(self, name: str) -> str | None: ...",
             "    def CopyFrom(self, other: Any) -> None: ...", "    DESCRIPTOR: Any", "",
             "class Repeated(list[Any]):", "    def add(self, **fields: Any) -> Any: ..."]
    for file in descriptor_pb2.FileDescriptorSet.FromString(described).file:
        if file.package == PACKAGE:
            for enum in file.enum_type:
                lines += _enum(enum, "")
            for message in file.message_type:
                lines += _message(message, "", "")
    return "\n".join(lines) + "\n"


def _enum(enum: Any, indent: str) -> list[str]:
    return ["", f"{indent}class {enum.name}:", *(f"{indent}    {value.name}: int" for value in enum.value)]


def _message(message: Any, indent: str, scope: str) -> list[str]:
    lines = ["", f"{indent}class {message.name}(Message):"]
    inner = indent + "    "
    for enum in message.enum_type:
        # Their values are attributes of the message as well.
        lines += _enum(enum, inner) + [f"{inner}{value.name}: int" for value in enum.value]
    for nested in message.nested_type:
        lines += _message(nested, inner, f"{scope}{message.name}.")
    # Fields whose names are words of Python's are read with getattr.
    types = [(field.name, _type(field), field.label == field.LABEL_REPEATED) for field in message.field
             if not keyword.iskeyword(field.name)]
    lines += [f"{inner}{name}: {'Repeated' if repeated else type_}" for name, type_, repeated in types]
    given = ", ".join(f"{name}: {f'Iterable[{type_}]' if repeated else type_} | None = ..."
                      for name, type_, repeated in types)
    lines.append(f"{inner}def __init__(self{', *, ' if given else ''}{given}) -> None: ...")
    lines.append(f"{inner}@staticmethod")
    lines.append(f'{inner}def FromString(data: _Bytes) -> "{scope}{message.name}": ...')
    return lines


def _type(field: Any) -> str:
    if field.type in (field.TYPE_MESSAGE, field.TYPE_ENUM):
        local = field.type_name.removeprefix(f".{PACKAGE}.")
        return "int" if field.type == field.TYPE_ENUM else (f'"{local}"' if "." not in local else "Any")
    if field.type == field.TYPE_STRING:
        return "str"
    if field.type == field.TYPE_BYTES:
        return "_Bytes"  # a field may be named bytes
    if field.type == field.TYPE_BOOL:
        return "bool"
    return "float" if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE) else "int"
