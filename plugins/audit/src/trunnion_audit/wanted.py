"""Which records somebody wants to see. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from trunnion import InvalidArguments, Json

_TEXTS: Final = ("target", "args", "args_head", "reason", "error", "detail", "text", "action", "principal", "run")
"""Members a text is looked for in: what people and programs chose."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_ago = re.compile(r"(\d{1,9})([smhdw])")

FIELDS: Final = ("since", "until", "principal", "target", "source", "decision", "status", "kind", "run", "text")
"""What can be asked for, in the order in which it is offered."""


class Wanted(msgspec.Struct, frozen=True):
    """What is asked for; all of it has to fit. What is None is not asked for.

    Attributes:
        since, until: of the record's time, UTC microseconds; ``until`` is not in it.
        principal, target, decision: a value, or its beginning and ``*``. ``decision`` is the rule that allowed, or
            the code of a refusal.
        source: a door, the one a call came by or one behind it.
        status: of an outcome.
        kind: of the record; ``admin`` or one action, ``admin:host.start``.
        run: id of a run.
        text: part of what people and programs chose, in any case.
    """

    since: int | None = None
    until: int | None = None
    principal: str | None = None
    target: str | None = None
    source: str | None = None
    decision: str | None = None
    status: str | None = None
    kind: str | None = None
    run: str | None = None
    text: str | None = None

    def fits(self, record: Mapping[str, Json]) -> bool:
        """Whether a record is one of those."""
        return (
            self._is_of_the_time(record.get("ts"))
            and (self.kind is None or self._is_of_the_kind(record))
            and _matches(self.principal, record.get("principal"))
            and _matches(self.target, record.get("target"))
            and (self.source is None or self.source in _doors(record))
            and (self.decision is None or self._was_so_decided(record))
            and (self.status is None or record.get("status") == self.status)
            and (self.run is None or record.get("run") == self.run)
            and (self.text is None or self._has_the_text(record))
        )

    def may_be_in(self, first: int, last: int) -> bool:
        """Whether records between two times can be among those."""
        return (self.since is None or last >= self.since) and (self.until is None or first < self.until)

    @property
    def is_of_a_time(self) -> bool:
        """Whether the time of a record matters."""
        return self.since is not None or self.until is not None

    def _is_of_the_time(self, ts: Json) -> bool:
        return not self.is_of_a_time or (isinstance(ts, int) and self.may_be_in(ts, ts))

    def _is_of_the_kind(self, record: Mapping[str, Json]) -> bool:
        kind, colon, action = (self.kind or "").partition(":")
        return record.get("kind") == kind and (not colon or _matches(action, record.get("action")))

    def _was_so_decided(self, record: Mapping[str, Json]) -> bool:
        if record.get("kind") == "refusal":
            return _matches(self.decision, record.get("code"))
        return record.get("kind") == "intent" and _matches(self.decision, record.get("decision"))

    def _has_the_text(self, record: Mapping[str, Json]) -> bool:
        wanted = (self.text or "").casefold()
        return any(isinstance(value := record.get(name), str) and wanted in value.casefold() for name in _TEXTS)


def _matches(pattern: str | None, value: Json) -> bool:
    if pattern is None:
        return True
    if not isinstance(value, str):
        return False
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def _doors(record: Mapping[str, Json]) -> list[Json]:
    chain = record.get("chain")
    return [record.get("source"), *(chain if isinstance(chain, list) else ())]


def wanted(now: int, asked: Mapping[str, str | None]) -> Wanted:
    """What somebody asks for, by name; the times as ``moment`` takes them.

    Raises:
        InvalidArguments: a time is none.
    """
    times = {name: moment(asked.get(name) or "", now, name) for name in ("since", "until")}
    texts = {name: asked.get(name) or None for name in FIELDS if name not in times}
    return Wanted(times["since"], times["until"], **texts)


def moment(text: str, now: int, name: str) -> int | None:
    """A time as people write it, in UTC microseconds; None for none.

    Args:
        text: ``2h`` (ago; s, m, h, d, w), ``2026-11-30``, ``2026-11-30T12:00`` (UTC unless it says otherwise), or
            microseconds.
        now: the time.
        name: of the argument, for the error.

    Raises:
        InvalidArguments: it is none of these.
    """
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 16:
        return int(text)
    if (ago := _ago.fullmatch(text)) is not None:
        return now - int(ago[1]) * _UNITS[ago[2]] * 1_000_000
    try:
        parsed = datetime.fromisoformat(text)
        zoned = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
        return int(zoned.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        text = f"{name} {text[:80]!r} is no time: give 2h, 2026-11-30, 2026-11-30T12:00+01:00, or microseconds"
        raise InvalidArguments(text, {"argument": name}) from None
