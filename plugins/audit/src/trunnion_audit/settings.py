"""The section ``[audit]``: what is recorded, how surely, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from trunnion import Json, JsonObject
from trunnion_audit.log import Rules
from trunnion_audit.policy import LEVELS, Level, Policies, problems_of
from trunnion_audit.witness import WitnessSettings

Problem: TypeAlias = tuple[tuple[str, ...], str]
_LEVEL: JsonObject = {"type": "string", "enum": list[Json](LEVELS)}


class SyslogSettings(msgspec.Struct, frozen=True):
    """Where a copy of the record goes.

    Attributes:
        address: a socket in the file system, or ``HOST:PORT`` for TCP.
        facility: of the messages, as syslog counts them.
        stand_in: whether strict commands may go on with this copy alone while the file cannot be written.
    """

    address: str = "/dev/log"
    facility: int = 13
    stand_in: bool = False


class AuditSettings(msgspec.Struct, frozen=True):
    """What the section says; see ``SCHEMAS``."""

    enabled: bool = True
    commands: Level = "strict"
    queries: Level = "off"
    streams: Level = "off"
    policy: dict[str, Level] = {}
    capture: Literal["meta", "full"] = "meta"
    durability: Literal["store", "process", "power"] = "store"
    max_record_bytes: int = 64 << 10
    oversized: Literal["record", "refuse"] = "record"
    segment_bytes: int = 32 << 20
    segment_days: float = 7.0
    checkpoint_records: int = 1000
    checkpoint_seconds: float = 60.0
    refusals_per_minute: int = 300
    sink_timeout: float = 2.0
    syslog: SyslogSettings | None = None
    keep_days: float | None = None
    keep_bytes: int | None = None
    witness: WitnessSettings | None = None

    @property
    def rules(self) -> Rules:
        """How the log is cut into pieces and sealed."""
        return Rules(
            segment_bytes=self.segment_bytes,
            segment_age=int(self.segment_days * 86_400e6),
            checkpoint_records=self.checkpoint_records,
            checkpoint_age=int(self.checkpoint_seconds * 1e6),
        )

    @property
    def policies(self) -> Policies:
        """Which level applies to what."""
        return Policies({"command": self.commands, "query": self.queries, "stream": self.streams}, self.policy)


SCHEMAS: Mapping[str, JsonObject] = {
    "enabled": {"type": "boolean", "default": True, "description": "Keep a record; without one `rpc` stays shut"},
    "commands": {
        **_LEVEL,
        "default": "strict",
        "description": "`strict`: a command that cannot be put on record is refused; `best-effort`: it runs, and the "
        "record says how many are missing; `off`: it is not recorded. Commands that come by `rpc` are always strict",
    },
    "queries": {**_LEVEL, "default": "off", "description": "The same for queries; those of `audit` are always strict"},
    "streams": {**_LEVEL, "default": "off", "description": "The same for opening a stream"},
    "policy": {
        "type": "object",
        "additionalProperties": _LEVEL,
        "default": {},
        "description": "The same by name, `device.*`, `query:units.list`, `stream:unit/*`, or by door, `source:web`. "
        "The longest pattern that fits counts, names before doors; of several doors the strictest",
    },
    "capture": {
        "type": "string",
        "enum": ["meta", "full"],
        "default": "meta",
        "description": "`full` records all text and log output too",
    },
    "durability": {
        "type": "string",
        "enum": ["store", "process", "power"],
        "default": "store",
        "description": "What a record outlives before the command runs: as `[store] durability` says, the death of the "
        "host (`process`), or the loss of power (`power`)",
    },
    "max_record_bytes": {
        "type": "integer",
        "minimum": 4 << 10,
        "maximum": 512 << 10,
        "default": 64 << 10,
        "description": "Larger arguments are kept as their beginning, size and digest",
    },
    "oversized": {
        "type": "string",
        "enum": ["record", "refuse"],
        "default": "record",
        "description": "Strict commands with larger arguments run with that record, or are refused",
    },
    "segment_bytes": {
        "type": "integer",
        "minimum": 64 << 10,
        "maximum": 1 << 30,
        "default": 32 << 20,
        "description": "A file of the record that has as many bytes is closed, and the next one begun",
    },
    "segment_days": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 3660,
        "default": 7,
        "description": "The same for its age",
    },
    "checkpoint_records": {
        "type": "integer",
        "minimum": 1,
        "maximum": 100_000,
        "default": 1000,
        "description": "After as many records the whole is signed",
    },
    "checkpoint_seconds": {
        "type": "number",
        "minimum": 1,
        "maximum": 86_400,
        "default": 60,
        "description": "And when a record without a signature is so old: what is cut off in this time is not found",
    },
    "refusals_per_minute": {
        "type": "integer",
        "minimum": 1,
        "maximum": 10_000,
        "default": 300,
        "description": "As many refusals are recorded one by one; of more the record has exact numbers",
    },
    "sink_timeout": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 60,
        "default": 2,
        "description": "Seconds a further place for the record may take",
    },
    "syslog": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "address": {
                "type": "string",
                "minLength": 1,
                "maxLength": 300,
                "default": "/dev/log",
                "description": "A socket in the file system, or HOST:PORT for TCP",
            },
            "facility": {
                "type": "integer",
                "minimum": 0,
                "maximum": 23,
                "default": 13,
                "description": "Of the messages, as syslog counts them; 13 is that of audits",
            },
            "stand_in": {
                "type": "boolean",
                "default": False,
                "description": "Strict commands go on with this copy alone while the file cannot be written",
            },
        },
        "description": "Send a copy of every record to syslog (RFC 5424)",
    },
    "keep_days": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 36600,
        "description": "Files of the record whose last entry is so old are removed, with a signed entry that vouches "
        "for the rest; without it all are kept",
    },
    "keep_bytes": {
        "type": "integer",
        "minimum": 1 << 20,
        "description": "The oldest files are removed while all have more bytes together",
    },
    "witness": {
        "type": "object",
        "additionalProperties": False,
        "required": ["command"],
        "properties": {
            "command": {
                "type": "array",
                "items": {"type": "string", "maxLength": 4096},
                "minItems": 1,
                "maxItems": 100,
                "description": "A program and its arguments, given the checkpoint's line as its input",
            },
            "timeout": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 600,
                "default": 30,
                "description": "Seconds it may take",
            },
        },
        "description": "A command that keeps signed checkpoints elsewhere, so that it shows when the end of the record "
        "or all of it is replaced",
    },
}
"""Key -> schema; the defaults are those of ``AuditSettings``, which a test compares."""

LIVE = frozenset({
    "commands", "queries", "streams", "policy", "capture", "max_record_bytes", "oversized", "segment_bytes",
    "segment_days", "checkpoint_records", "checkpoint_seconds", "refusals_per_minute",
    "keep_days", "keep_bytes",
})  # fmt: skip
"""Keys that take effect while the host runs."""


def _check_policy(value: Json) -> Iterable[Problem]:
    if isinstance(value, Mapping):
        for pattern, problem in problems_of(value):
            yield (pattern,), f"{pattern!r} {problem}"


CHECKS: Mapping[str, Callable[[Json], Iterable[Problem]]] = {"policy": _check_policy}
"""What a schema cannot say."""


def read_settings(section: JsonObject) -> AuditSettings:
    """The section as it is in force; it was checked."""
    return msgspec.convert(section, AuditSettings)
