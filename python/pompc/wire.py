"""Channels to pompc's services, their failures, and the float arrays in messages."""

import math
import operator
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
import numpy
from numpy.typing import ArrayLike, NDArray

from pompc import describe, limits, messages
from pompc.errors import Failed, Refused

Floats = NDArray[numpy.float32]

# kWireVersion in common/rpc/wire.h.
WIRE_VERSION = 2
# kRetryAfterKey there.
RETRY_AFTER_KEY = "pompc-retry-after-ms"
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
    ("grpc.max_receive_message_length", limits.MAX_REPLY_BYTES),
    ("grpc.max_send_message_length", limits.MAX_REQUEST_BYTES),
)
# Who serves what, as certificates name it.
_SERVERS = {"RunService": "learner", "PlannerService": "planner", "ReplayService": "replay"}
# What passes by itself: the server is away, busy, or was asked for too short a time.
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED)
INVALID_ARGUMENT: int = grpc.StatusCode.INVALID_ARGUMENT.value[0]


def certificates_folder(given: str | os.PathLike[str] | None) -> str:
    """The folder that was given, else that of the environment variable POMPC_CERTIFICATES; empty: plaintext."""
    return os.fspath(given) if given else os.environ.get("POMPC_CERTIFICATES", "")


def _channel(service: str, address: str, certificates: str) -> Any:
    if not certificates:
        return grpc.insecure_channel(address, CHANNEL_ARGUMENTS)
    try:
        ca, own, key = (pathlib.Path(certificates, name).read_bytes() for name in ("ca.crt", "tls.crt", "tls.key"))
    except OSError as error:
        raise Refused(f"certificates: {error.filename}: {error.strerror}") from None
    # gRPC in Python compares names of hosts alone: in place of its host's name, a server has to prove its role's.
    name = ("grpc.ssl_target_name_override", f"{_SERVERS[service]}.pompc")
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, own), (*CHANNEL_ARGUMENTS, name))


class Stub:
    """The methods of a service at an address, by their names. Connects when needed, again when lost. Thread-safe.
    `certificates` is a folder, as certificates_folder() returns it; its files are read now, once."""

    def __init__(self, service: str, address: str, certificates: str = ""):
        self.address, self._closed = address, False
        self._channel = _channel(service, address, certificates)
        self._methods: dict[str, Callable[..., Any]] = {}
        for method in messages.services[service]:
            make = self._channel.stream_stream if method.client_streaming else (
                self._channel.unary_stream if method.server_streaming else self._channel.unary_unary)
            request, reply = (getattr(messages, name.rpartition(".")[2])
                              for name in (method.input_type, method.output_type))
            self._methods[method.name] = make(
                f"/{describe.PACKAGE}.{service}/{method.name}", response_deserializer=reply.FromString,
                request_serializer=request.SerializeToString)

    def __getattr__(self, name: str) -> Any:
        try:
            method = self.__dict__["_methods"][name]
        except KeyError:
            raise AttributeError(name) from None
        if self.__dict__["_closed"]:
            raise Failed(f"the connection to {self.address} has been closed")
        return method

    def close(self) -> None:
        """Calls under way are cancelled; later ones are Failed."""
        self._closed = True
        self._channel.close()


def header(run_id: str) -> messages.Header:
    return messages.Header(wire_version=WIRE_VERSION, run_id=run_id)


def parse_addresses(addresses: str | Iterable[str]) -> list[str]:
    """"host:port", several with commas between them, or a sequence of them. Refused if one is no address, or named
    twice."""
    try:
        parts: Iterator[str] = iter(addresses.split(",") if isinstance(addresses, str) else addresses)
    except TypeError:
        raise Refused(f"{addresses!r} is not addresses; allowed: host:port, or a list of them") from None
    parsed = [parse_address(part) for part in parts]
    for i, address in enumerate(parsed):
        if address in parsed[:i]:
            raise Refused(f"'{address}' is given twice; expected each address once")
    return parsed


def parse_address(text: str) -> str:
    """As ParseEndpoints in common/rpc/endpoint.h takes it."""
    if not isinstance(text, str):
        raise Refused(f"{text!r} is not an address; allowed: host:port with a port from 1 to 65535")
    text = text.strip()
    if ":///" in text or text.startswith("unix:"):
        return text
    host, _, port = text.rpartition(":")
    usable = port.isascii() and port.isdigit() and not port.startswith("0") and int(port) <= 65535
    if not host or len(port) > 5 or not usable:
        raise Refused(f"'{text}' is not an address; allowed: host:port with a port from 1 to 65535")
    return text


def words(error: Any) -> str:
    """What an RpcError says."""
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:  # which servers in C++ say without a word
        return f"UNIMPLEMENTED: {error.details() or 'no such call'}; is this the address of another role?"
    return f"{error.code().name}: {error.details()}"


def too_large(error: Any) -> bool:
    """Whether gRPC refused a message for its size; a server that is short of something uses the same code, and
    recovers."""
    return error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in (error.details() or "")


def passing(error: Any) -> bool:
    """Whether the same call may succeed later without anyone doing anything about this process."""
    return error.code() in _PASSING and not too_large(error)


def retry_after(error: Any) -> float | None:
    """In seconds, from now: when the server that refused a call expects to have room. None where it does not say, or
    says what is no such number."""
    for key, value in error.trailing_metadata() or ():
        if key == RETRY_AFTER_KEY and re.fullmatch("[1-9][0-9]{0,8}", str(value), re.ASCII):
            return int(value) / 1000
    return None


def asked(call: Callable[..., Any], request: Any, seconds: float, address: str) -> Any:
    """The reply of one call for a person, who sees what went wrong. Failed naming the address."""
    try:
        return call(request, timeout=seconds)
    except grpc.RpcError as error:
        raise Failed(f"{address}: {words(error)}") from error


def for_status(text: str) -> str:
    """Text as the learner keeps it."""
    return text.encode(errors="replace")[:256].decode(errors="ignore")


def floats(what: str, numbers: ArrayLike) -> Floats:
    """What a caller gave as an array of numbers, as float32. Refused if it is none."""
    try:
        with numpy.errstate(over="ignore"):
            return numpy.asarray(numbers, numpy.float32)
    except (TypeError, ValueError) as error:
        raise Refused(f"{what} is no array of numbers: {error}") from None


def whole(what: str, number: Any, least: int = 0, most: int = 2**64 - 1) -> int:
    """What a caller gave as a whole number. Refused if it is none, or out of range."""
    try:
        value = operator.index(number)
    except TypeError:
        value = least - 1
    if not least <= value <= most:
        raise Refused(f"{what} is {number!r}; allowed: a whole number from {least} to {most}")
    return value


def duration(what: str, seconds: Any) -> float:
    """What a caller gave as a time. Refused if it is none, or not above 0."""
    try:
        value = math.nan if isinstance(seconds, str) else float(seconds)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value < math.inf:
        raise Refused(f"{what} is {seconds!r}; allowed: a number above 0")
    return value


def to_bytes(numbers: ArrayLike) -> bytes:
    """Little-endian float32, row-major."""
    return numpy.asarray(numbers, dtype="<f4").tobytes()


def to_array(data: bytes) -> Floats:
    return numpy.frombuffer(data, dtype="<f4")
