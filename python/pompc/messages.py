"""pompc's messages and enumerations by their names (messages.PlanRequest(...), messages.Phase.SEED), and its services.

The classes are made from descriptions at run time, in a pool of descriptors of their own: there is no generated code
that could be of another version than the installed protobuf and grpcio, no package named proto, and an environment may
register files and messages of the same names. The descriptions are made of proto/ when the package is built; a package
that is run out of a checkout reads them there, for which it needs protoc (Debian: protobuf-compiler) or grpcio-tools.
"""

import pathlib
import types
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from pompc import describe
from pompc.errors import Failed

# The methods of each service, as MethodDescriptorProto.
services: dict[str, list[Any]] = {}


def _described() -> bytes:
    built = pathlib.Path(__file__).with_name("messages.binpb")
    if built.exists():
        return built.read_bytes()
    try:
        return describe.describe(pathlib.Path(__file__).resolve().parents[2])
    except RuntimeError as error:
        raise Failed(str(error)) from None


def _message_class(pool: Any, name: str) -> Any:
    descriptor = pool.FindMessageTypeByName(f"{describe.PACKAGE}.{name}")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)  # before protobuf 4.22


def _load() -> None:
    pool = descriptor_pool.DescriptorPool()
    described = descriptor_pb2.FileDescriptorSet.FromString(_described())
    for file in described.file:
        pool.AddSerializedFile(file.SerializeToString())
    for file in described.file:
        if file.package != describe.PACKAGE:
            continue
        for message in file.message_type:
            globals()[message.name] = _message_class(pool, message.name)
        for enum in file.enum_type:
            globals()[enum.name] = types.SimpleNamespace(**{value.name: value.number for value in enum.value})
        for service in file.service:
            services[service.name] = list(service.method)


_load()
