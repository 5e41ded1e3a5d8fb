"""From what the host says to records. No I/O."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from trunnion import Admission, Caller, HostChange, Json, Refused, Run
from trunnion_audit.commitments import ARGS, RESULT, args_text, result_text
from trunnion_audit.keys import Salts
from trunnion_audit.policy import Level
from trunnion_audit.records import Admin, Intent, Missing, Outcome, Refusal

MOST_ARGS = 480 << 10
"""Bytes of arguments that are kept whole at most: as a string in a record each may take two."""

HEAD = 1024
"""Bytes kept of arguments that are too large."""

REASON = 1024
NAME = 300
NOBODY = Caller("", "", "viewer")

_json = msgspec.json.Encoder(order="sorted").encode


def intent_of(asked: Admission, level: Level, salts: Salts, most: int, now: int) -> Intent:
    """The record of something that will now begin.

    Args:
        asked: what the gate was asked.
        level: the policy it is under.
        salts: for the commitment to its arguments.
        most: bytes of arguments that are kept whole.
        now: the time.
    """
    caller = asked.caller
    record = Intent(
        ts=now,
        what=asked.kind,
        target=asked.target,
        revision=asked.revision,
        effect=asked.effect,
        decision=asked.decision,
        policy=level,
        principal=caller.principal,
        source=caller.source,
        role=caller.role,
        chain=caller.chain,
        credential=caller.credential,
        run=asked.run_id,
        parent=asked.parent_run_id or "",
        session=cut(asked.session_id or "", NAME),
        args_digest=asked.args_digest,
    )
    if asked.args:
        _add_args(record, args_text(asked.args), salts, most)
    return record


def _add_args(record: Intent, text: bytes, salts: Salts, most: int) -> None:
    if len(text) <= min(most, MOST_ARGS):
        record.args = text.decode()
    else:
        record.args_head, record.args_size = text[:HEAD].decode(errors="ignore"), len(text)
    if record.run:
        record.args_commit = salts.commit(ARGS, record.run, text)


def is_oversized(record: Intent) -> bool:
    """Whether its arguments are not in it whole."""
    return record.args_size is not msgspec.UNSET


def outcome_of(run: Run, intent: int, events: int, events_commit: str, salts: Salts, now: int) -> Outcome:
    """The record of a run's end; without ``events_commit`` where not all its events are kept."""
    finished = run.finished or now
    record = Outcome(
        ts=now,
        run=run.id,
        target=run.command_id,
        intent=intent,
        status=run.status,
        finished=finished,
        duration=max(0, finished - run.started) if run.started is not None else 0,
        events=events,
        attempt=run.attempt,
    )
    if run.started is not None:
        record.started = run.started
    if run.error is not None:
        record.code, record.error = run.error.code, cut(run.error.message, REASON)
    if events_commit:
        record.events_commit = events_commit
    if text := result_text(run):
        record.result_size, record.result_commit = len(text), salts.commit(RESULT, run.id, text)
    return record


def refusal_of(refused: Refused, now: int) -> Refusal:
    """The record of something that was refused."""
    caller = refused.caller or NOBODY
    return Refusal(
        ts=now,
        what="call" if refused.kind == "credential" else refused.kind,
        target=cut(refused.target, NAME),
        code=refused.code,
        reason=cut(refused.reason, REASON),
        principal=caller.principal,
        source=refused.source,
        role=caller.role if refused.caller is not None else "",
        chain=caller.chain,
        credential=caller.credential,
        run=refused.run_id,
    )


def missing_of(run_id: str, number: int, now: int) -> Missing:
    """The record of an intent whose run nobody knows."""
    reason = "the host's store has no such run: it was never begun, or the store was replaced"
    return Missing(ts=now, intent=number, run=run_id, reason=reason)


def admin_of(action: str, detail: Json, now: int, *, caller: Caller = NOBODY, run_id: str = "") -> Admin:
    """The record of a change of the host itself."""
    text = _json(detail)
    if len(text) > 256 << 10:
        text = _json(
            {"size": len(text), "sha256": sha256(text).hexdigest(), "head": text[:HEAD].decode(errors="ignore")}
        )
    return Admin(
        ts=now,
        action=action,
        detail=text.decode(),
        principal=caller.principal,
        source=caller.source,
        role=caller.role if caller.principal else "",
        chain=caller.chain,
        credential=caller.credential,
        run=run_id,
    )


def change_of(change: HostChange, action: str, detail: Json, now: int) -> Admin:
    """The record of a change that is about to be made."""
    return admin_of(action, detail, now, caller=change.caller or NOBODY, run_id=change.run_id)


def cut(text: str, most: int) -> str:
    """The beginning of a text, at most so many bytes."""
    if text.isascii() and len(text) <= most:
        return text
    data = text.encode(errors="replace")
    return data[:most].decode(errors="ignore") if len(data) > most else data.decode()
