"""The section ``[rpc]``: whether, where and for whom the door is open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from trunnion import InvalidConfig, Json, JsonObject
from trunnion_rpc.places import is_afar, problem_of
from trunnion_rpc.tls_settings import TLS_SCHEMA, Problem, TlsSettings, tls_problems

MIB = 1 << 20


class RpcSettings(msgspec.Struct, frozen=True):
    """What the section says.

    Attributes:
        enabled: whether the door is open.
        listen: where; ``unix`` is the socket in the data directory.
        tls: how addresses and ports are secured; None for not at all.
        audit: whether it stays shut on a host where no gate records commands.
        health: whom gRPC's health service answers.
        reflection: whom the protocol is described to.
        max_message_bytes: the largest message, either way.
        max_metadata_bytes: the largest metadata of a call.
        max_connections: connections at each place.
        max_connection_calls: calls of one connection that are answered at a time.
        max_idle: seconds after which a connection without a call is closed.
        handshake_timeout: seconds until a connection has to be one of HTTP/2.
        request_timeout: seconds the request of a call may take to arrive.
        max_calls: calls of one principal that are answered at a time.
        max_streams: streams one principal may follow at a time.
        max_wait: seconds a call is waited with before it is answered that it takes longer.
        keepalive: seconds without a word after which a client is asked whether it is still there.
    """

    enabled: bool = False
    listen: tuple[str, ...] = ("unix",)
    tls: TlsSettings | None = None
    audit: Literal["required", "off-i-know"] = "required"
    health: Literal["off", "known", "anybody"] = "known"
    reflection: Literal["off", "known"] = "off"
    max_message_bytes: int = 4 * MIB
    max_metadata_bytes: int = 16 << 10
    max_connections: int = 256
    max_connection_calls: int = 512
    max_idle: float = 300.0
    handshake_timeout: float = 20.0
    request_timeout: float = 30.0
    max_calls: int = 256
    max_streams: int = 64
    max_wait: float = 3600.0
    keepalive: float = 30.0


SCHEMAS: Mapping[str, JsonObject] = {
    "enabled": {"type": "boolean", "default": False, "description": "Open the door for gRPC; it is shut otherwise"},
    "listen": {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 300},
        "minItems": 1,
        "uniqueItems": True,
        "default": ["unix"],
        "description": "Where: `unix`, the socket run/rpc.sock in the data directory that only its owner can open, or "
        "ADDRESS:PORT; without `tls` only 127.0.0.1:PORT and [::1]:PORT, where a token is asked for",
    },
    "tls": TLS_SCHEMA,
    "audit": {
        "type": "string",
        "enum": ["required", "off-i-know"],
        "default": "required",
        "description": "Without a plugin that records commands before they take effect the door stays shut; "
        "`off-i-know` opens it all the same",
    },
    "health": {
        "type": "string",
        "enum": ["off", "known", "anybody"],
        "default": "known",
        "description": "Answer gRPC's health checks: to nobody, to callers who show who they are, or to anybody",
    },
    "reflection": {
        "type": "string",
        "enum": ["off", "known"],
        "default": "off",
        "description": "Describe the protocol by gRPC's reflection: to nobody, or to callers who show who they are",
    },
    "max_message_bytes": {
        "type": "integer",
        "minimum": 64 << 10,
        "maximum": 256 * MIB,
        "default": 4 * MIB,
        "description": "The largest message, either way; what is larger is read in pieces",
    },
    "max_metadata_bytes": {
        "type": "integer",
        "minimum": 4 << 10,
        "maximum": MIB,
        "default": 16 << 10,
        "description": "The largest metadata of a call, the token included",
    },
    "max_connections": {
        "type": "integer",
        "minimum": 1,
        "default": 256,
        "description": "Connections at each place that it listens at; more are closed at once. By TLS the longest is "
        "closed instead by which nobody has called yet who is known",
    },
    "max_connection_calls": {
        "type": "integer",
        "minimum": 1,
        "default": 512,
        "description": "Calls and streams of one connection that are answered at a time, whoever they come from; "
        "clients make the others wait",
    },
    "max_idle": {
        "type": "number",
        "minimum": 1,
        "maximum": 86_400,
        "default": 300,
        "description": "Seconds after which a connection without a call is closed; clients connect again by themselves",
    },
    "handshake_timeout": {
        "type": "number",
        "minimum": 0.1,
        "maximum": 300,
        "default": 20,
        "description": "Seconds until a new connection has to speak HTTP/2",
    },
    "request_timeout": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 3600,
        "default": 30,
        "description": "Seconds that the request of a call may take to arrive",
    },
    "max_calls": {
        "type": "integer",
        "minimum": 1,
        "default": 256,
        "description": "Calls of one principal that are answered at a time",
    },
    "max_streams": {
        "type": "integer",
        "minimum": 1,
        "default": 64,
        "description": "Streams that one principal may follow, read or bring at a time",
    },
    "max_wait": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 86_400,
        "default": 3600,
        "description": "Seconds a call may take; what it started goes on",
    },
    "keepalive": {
        "type": "number",
        "minimum": 1,
        "maximum": 3600,
        "default": 30,
        "description": "Seconds without a word after which a client is asked whether it is still there",
    },
}
"""Key -> schema; the defaults are those of ``RpcSettings``, which a test compares."""


def _check_listen(value: Json) -> Iterable[Problem]:
    for place in value if isinstance(value, list | tuple) else ():
        if problem := problem_of(str(place)):
            yield (), problem


LIVE = frozenset({"max_calls", "max_streams", "max_wait", "request_timeout"})
"""Keys that take effect while the door is open."""

CHECKS: Mapping[str, Callable[[Json], Iterable[Problem]]] = {"listen": _check_listen, "tls": tls_problems}
"""What a schema cannot say."""


def check_section(section: JsonObject) -> Iterable[Problem]:
    """Nothing goes over a network in the clear."""
    settings = read_settings(section)
    for place in settings.listen if settings.tls is None else ():
        if is_afar(place):
            yield ("listen",), f"{place!r} can be reached from other machines, which needs the table [rpc.tls]"


def read_settings(section: JsonObject) -> RpcSettings:
    """The section as it is in force; it was checked."""
    return msgspec.convert(section, RpcSettings)


def require_record(settings: RpcSettings, recorded: frozenset[str]) -> None:
    """See to it that what strangers do is put on record before it happens.

    Raises:
        InvalidConfig: no gate records commands, and nobody said that this is meant.
    """
    if settings.audit == "required" and "commands" not in recorded:
        raise InvalidConfig(
            "[rpc] stays shut: no plugin records commands before they take effect. Install one that does, "
            'or write audit = "off-i-know" into [rpc]'
        )
