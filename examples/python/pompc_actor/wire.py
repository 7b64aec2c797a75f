"""pompc's messages and services, read from proto/ when this module is imported, and the float arrays in messages.

The messages are made from their descriptions at run time, in a pool of descriptors of their own: there is no generated
code that could be of another version than the installed protobuf and grpcio, no package named proto, and an environment
may register files and messages of the same names. Needs protoc (Debian: protobuf-compiler) or the package grpcio-tools.
"""

import pathlib
import shutil
import subprocess
import sys
import types

import grpc
import numpy
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from pompc_actor import Failed, Refused

# kWireVersion in common/rpc/wire.h.
WIRE_VERSION = 2
# kMaxReplyBytes, kMaxRequestBytes and kFullRequestBytes in common/rpc/message_size.h.
MAX_REPLY_BYTES = 64 << 20
MAX_REQUEST_BYTES = 2 << 20
FULL_REQUEST_BYTES = 1 << 20
# As MakeChannelArguments in common/rpc/endpoint.cc makes them.
CHANNEL_ARGUMENTS = (
    ("grpc.keepalive_time_ms", 10000),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.dns_min_time_between_resolutions_ms", 2000),
    ("grpc.service_config_disable_resolution", 1),
    # Roles talk to each other directly, whatever http_proxy says.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
    ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
)

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_PACKAGE = "pompc.proto"
_PROTOC_SECONDS = 60


def _describe():
    """The FileDescriptorSet of proto/: each file after those that it imports."""
    files = [f"proto/{path.name}" for path in sorted((_ROOT / "proto").glob("*.proto"))]
    protoc = shutil.which("protoc")
    command = [*([protoc] if protoc else [sys.executable, "-m", "grpc_tools.protoc"]), f"-I{_ROOT}",
               "--include_imports", "--descriptor_set_out=/dev/stdout", *files]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PROTOC_SECONDS,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"cannot read the messages in {_ROOT / 'proto'}: {error}") from None
    if done.returncode != 0:
        raise Failed(f"cannot read the messages in {_ROOT / 'proto'} (this needs protobuf-compiler or grpcio-tools): "
                     f"{done.stderr.decode(errors='replace')}")
    return descriptor_pb2.FileDescriptorSet.FromString(done.stdout)


def _message_class(pool, name):
    descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)  # before protobuf 4.22


def _load():
    """(proto, services): what is public below."""
    pool = descriptor_pool.DescriptorPool()
    described = _describe()
    proto, services = types.SimpleNamespace(), {}
    for file in described.file:
        pool.AddSerializedFile(file.SerializeToString())
    for file in described.file:
        if file.package != _PACKAGE:
            continue
        for message in file.message_type:
            setattr(proto, message.name, _message_class(pool, message.name))
        for enum in file.enum_type:
            setattr(proto, enum.name, types.SimpleNamespace(**{value.name: value.number for value in enum.value}))
        for service in file.service:
            services[service.name] = list(service.method)
    return proto, services


# The messages and enumerations by their names: proto.PlanRequest(...), proto.Phase.SEED.
proto, _services = _load()


# Who serves what, as certificates name it.
_SERVERS = {"RunService": "learner", "PlannerService": "planner", "ReplayService": "replay"}
# What use_certificates() has read; none: connections are plaintext.
_credentials = []


def use_certificates(folder):
    """Secures all connections from now on with ca.crt, tls.crt and tls.key of the folder, as deploy/certificates.sh makes
    them for the role actor. They are read once."""
    try:
        ca, certificate, key = (pathlib.Path(folder, name).read_bytes() for name in ("ca.crt", "tls.crt", "tls.key"))
    except OSError as error:
        raise Refused(f"--certificates: {error.filename}: {error.strerror}") from None
    _credentials[:] = [grpc.ssl_channel_credentials(ca, key, certificate)]


def _channel(service, address):
    if not _credentials:
        return grpc.insecure_channel(address, CHANNEL_ARGUMENTS)
    # gRPC in Python compares names of hosts alone: in place of its host's name, a server has to prove its role's.
    name = f"{_SERVERS[service]}.pompc"
    return grpc.secure_channel(address, _credentials[0], (*CHANNEL_ARGUMENTS, ("grpc.ssl_target_name_override", name)))


def stub(service, address):
    """The methods of a service at an address, by their names. Connects when needed, again when lost."""
    channel = _channel(service, address)
    methods = {}
    for method in _services[service]:
        call = channel.stream_stream if method.client_streaming else (
            channel.unary_stream if method.server_streaming else channel.unary_unary)
        request, reply = (getattr(proto, name.rpartition(".")[2]) for name in (method.input_type, method.output_type))
        methods[method.name] = call(f"/{_PACKAGE}.{service}/{method.name}", response_deserializer=reply.FromString,
                                    request_serializer=request.SerializeToString)
    return types.SimpleNamespace(address=address, **methods)


def header(run_id):
    return proto.Header(wire_version=WIRE_VERSION, run_id=run_id)


def to_bytes(numbers):
    """Little-endian float32, row-major."""
    return numpy.asarray(numbers, dtype="<f4").tobytes()


def to_array(data):
    return numpy.frombuffer(data, dtype="<f4")
