"""The kinds of records, as plain data. Fields stand in the order of their names, which is the order in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
from msgspec import UNSET, UnsetType

ZERO: Final = "0" * 64
"""Stands for the hash of the line before the first."""

LARGEST_LINE: Final = 1 << 20
"""Bytes of the longest line, with its LF."""

_encode = msgspec.json.Encoder(order="sorted").encode
_encode_struct = msgspec.json.Encoder().encode


class Record(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What every record has. The chain gives ``kind``, ``n`` and ``prev``.

    A field that is missing in the file is one that has its default. Each subclass declares these four too, and all its
    fields in the order of their names: then the fast encoder writes the canonical form.

    Attributes:
        kind: see ``docs/audit-format.md``.
        n: number of the record, from 1.
        prev: SHA-256 of the line before.
        ts: when it was made, UTC, microseconds.
    """

    KIND: ClassVar[str] = ""
    if TYPE_CHECKING:  # as fields of its own they would stand before those of the subclasses
        kind: str = ""
        n: int = 0
        prev: str = ""
        ts: int

    def line(self) -> bytes:
        """The record as its line, without LF."""
        return _encode_struct(self)


class Genesis(Record, kw_only=True):
    """The first record of a log."""

    KIND: ClassVar[str] = "genesis"
    after: Mapping[str, str | int] | UnsetType = UNSET
    host_id: str
    key: str
    kind: str = ""
    n: int = 0
    prev: str = ""
    public: str
    segment: int
    sig: str | UnsetType = UNSET
    ts: int
    v: int

    def line(self) -> bytes:
        """The record as its line; ``after`` may have its keys in any order."""
        return _encode(self)


class Segment(Record, kw_only=True):
    """The first record of every segment but the first.

    Attributes:
        nodes: the tree over all records before this one, for the writer, who then need not read them again.
        open_intents: number and run of each intent that has no outcome yet, for the writer too; None where there are
            too many, and earlier segments are read.
    """

    KIND: ClassVar[str] = "segment"
    host_id: str
    kind: str = ""
    n: int = 0
    nodes: Sequence[str] = ()
    open_intents: Sequence[tuple[int, str]] | None = ()
    prev: str = ""
    segment: int
    ts: int
    v: int


class Checkpoint(Record, kw_only=True):
    """What the log is so far, signed."""

    KIND: ClassVar[str] = "checkpoint"
    head: str
    host_id: str
    key: str
    kind: str = ""
    n: int = 0
    prev: str = ""
    root: str
    sig: str | UnsetType = UNSET
    size: int
    ts: int


class Key(Record, kw_only=True):
    """A new key, signed by the one before it and by itself."""

    KIND: ClassVar[str] = "key"
    by: str
    host_id: str
    key: str
    kind: str = ""
    n: int = 0
    prev: str = ""
    public: str
    reason: str
    sig: str | UnsetType = UNSET
    sig_old: str | UnsetType = UNSET
    ts: int


class Torn(Record, kw_only=True):
    """Half a line was cut off at a start."""

    KIND: ClassVar[str] = "torn"
    bytes: int
    head: str
    kind: str = ""
    n: int = 0
    prev: str = ""
    segment: int
    sha256: str
    ts: int


class Lost(Record, kw_only=True):
    """Records that could not be written."""

    KIND: ClassVar[str] = "lost"
    count: int
    kind: str = ""
    n: int = 0
    prev: str = ""
    reason: str
    since: int
    ts: int
    until: int


class Cut(Record, kw_only=True):
    """Retention removes what comes before a segment."""

    KIND: ClassVar[str] = "cut"
    first: int
    head: str
    host_id: str
    key: str
    keys: Sequence[Mapping[str, str]]
    kind: str = ""
    n: int = 0
    nodes: Sequence[str]
    prev: str = ""
    reason: str
    removed: int
    root: str
    segment: int
    sig: str | UnsetType = UNSET
    ts: int

    def line(self) -> bytes:
        """The record as its line; the entries of ``keys`` may have theirs in any order."""
        return _encode(self)


class Intent(Record, kw_only=True):
    """Something is allowed and will now begin."""

    KIND: ClassVar[str] = "intent"
    args: str | UnsetType = UNSET
    args_commit: str | UnsetType = UNSET
    args_digest: str = ""
    args_head: str | UnsetType = UNSET
    args_size: int | UnsetType = UNSET
    chain: tuple[str, ...] = ()
    credential: str = ""
    decision: str
    effect: str
    kind: str = ""
    n: int = 0
    parent: str = ""
    policy: str
    prev: str = ""
    principal: str
    revision: str
    role: str
    run: str = ""
    session: str = ""
    source: str
    target: str
    ts: int
    what: str


class Refusal(Record, kw_only=True):
    """Something was not allowed, not known, not authenticated or not understood."""

    KIND: ClassVar[str] = "refusal"
    chain: tuple[str, ...] = ()
    code: str
    credential: str = ""
    kind: str = ""
    n: int = 0
    prev: str = ""
    principal: str
    reason: str
    role: str
    run: str = ""
    source: str
    target: str
    ts: int
    what: str


class Refusals(Record, kw_only=True):
    """Refusals beyond those that are written one by one."""

    KIND: ClassVar[str] = "refusals"
    counts: Sequence[Mapping[str, str | int]]
    kind: str = ""
    n: int = 0
    prev: str = ""
    since: int
    total: int
    ts: int
    until: int

    def line(self) -> bytes:
        """The record as its line; the entries of ``counts`` may have their keys in any order."""
        return _encode(self)


class Outcome(Record, kw_only=True):
    """A run ended."""

    KIND: ClassVar[str] = "outcome"
    attempt: int = 1
    code: str = ""
    duration: int
    error: str = ""
    events: int
    events_commit: str | UnsetType = UNSET
    finished: int
    intent: int
    kind: str = ""
    n: int = 0
    prev: str = ""
    result_commit: str | UnsetType = UNSET
    result_size: int | UnsetType = UNSET
    run: str
    started: int | UnsetType = UNSET
    status: str
    target: str
    ts: int


class Missing(Record, kw_only=True):
    """An intent whose run is not on record in the host's store."""

    KIND: ClassVar[str] = "missing"
    intent: int
    kind: str = ""
    n: int = 0
    prev: str = ""
    reason: str
    run: str
    ts: int


class Admin(Record, kw_only=True):
    """Something about the host itself changed."""

    KIND: ClassVar[str] = "admin"
    action: str
    chain: tuple[str, ...] = ()
    credential: str = ""
    detail: str
    kind: str = ""
    n: int = 0
    prev: str = ""
    principal: str
    role: str
    run: str = ""
    source: str
    ts: int


class Output(Record, kw_only=True):
    """An event of output, where all output is recorded."""

    KIND: ClassVar[str] = "output"
    at: int
    by: str
    kind: str = ""
    level: str
    n: int = 0
    of: str
    prev: str = ""
    seq: int
    stream: str
    text: str
    text_sha256: str | UnsetType = UNSET
    text_size: int | UnsetType = UNSET
    ts: int


KINDS: Final[tuple[type[Record], ...]] = (
    Genesis, Segment, Checkpoint, Key, Torn, Lost, Cut, Intent, Refusal, Refusals, Outcome, Missing, Admin, Output,
)  # fmt: skip
