"""What the gate says: what is strict begins only once it is on record. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trunnion import Admission, Allow, Deny, Verdict
from trunnion_audit.building import intent_of, is_oversized
from trunnion_audit.keys import Salts
from trunnion_audit.policy import Level
from trunnion_audit.records import Intent

RECOVER: Final = "audit.recover"
"""The one command that goes on without a record."""


def intents_of(batch: Sequence[Admission], levels: Sequence[Level], salts: Salts, most: int, now: int) -> list[Intent]:
    """The records of what is to be recorded of a batch; see ``intent_of``."""
    each = zip(batch, levels, strict=True)
    return [intent_of(asked, level, salts, most, now) for asked, level in each if level != "off"]


def verdict(asked: Admission, level: Level, problem: str) -> Verdict:
    """What the gate says of something: ``problem`` is why it could not be put on record, if it could not."""
    if level != "strict" or not problem or _is_way_back(asked):
        return Allow()
    return Deny(f"it cannot be put on record: {problem}", "unavailable")


def is_too_large(record: Intent) -> bool:
    """Only what is strict is refused for its size; the rest goes on with what is kept of it."""
    return record.policy == "strict" and is_oversized(record)


def _is_way_back(asked: Admission) -> bool:
    """The one command that goes on without a record, which it makes possible again; local for the host already."""
    caller = asked.caller
    return asked.target == RECOVER and asked.kind == "command" and caller.role == "admin" and not caller.credential
