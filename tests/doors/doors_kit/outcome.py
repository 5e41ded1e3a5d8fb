"""What came of a call, seen through a door and on record, and what may differ from door to door."""

from __future__ import annotations

import re

import msgspec

from trunnion.model.errors import ERROR_TABLE, ErrorInfo
from trunnion.model.events import Event
from trunnion.model.json import Json, JsonObject, decode, encode
from trunnion.model.runs import Run

LEGITIMATE = {
    "source": "the host stamps every door's own source on what comes by it; it stands in the row, in the rule that "
    "decided and in the chain of nested runs. Put back to SOURCE before comparing.",
    "key": "a call by id and a query have no idempotency key, so their run has neither key nor digest of arguments.",
    "exit status": "a process ends with a number: the one ERROR_TABLE gives the code. `trunnion run --json` says both.",
    "words": "`trunnion run` without --json tells a person the message, not code, details and record.",
    "run_id": "a call by id answers a result or an error, not a run; the error's details name the run.",
    "kind": "a call by id does not say whether it means a command or a query: the name decides, and one that nothing "
    "has is looked for among commands. Names are 1 to 256 characters long there.",
    "ids and times": "each execution has its own run ids, numbers and times.",
    "says less": "revision, labels and folder cannot be said by id, a revision not on a command line, where the folder "
    "is always said. Words and lines cannot be said by id, arguments by name not on a command line. A call that says "
    "more than a door can hear is not put to it.",
    "unauthenticated": "where each call shows its credential nobody is told what is wrong with it, and proofs that "
    "fail are slowed down; who logged in before and does not count any more is told why. The words are not compared, "
    "and failed proofs are forgiven between calls.",
    "no Unicode": "what is no Unicode text cannot be said in strings of gRPC, nor a folder of this machine.",
    "--help": "among words --help is the launcher's, as is the hint about --json after the name.",
}
"""All differences between doors that are meant, each with its reason. ``compared`` knows no others."""

_ids = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_OWN = frozenset({"id", "num", "created", "started", "finished", "deadline_at", "not_before", "cancel_requested_at",
                  "idempotency_key", "parent_run_id"})  # fmt: skip


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a door itself says came of a call. None where it does not say.

    Attributes:
        error: why it was refused, or why the run did not succeed.
        result: of a run that succeeded, or a query's value.
        run: the run at its end.
        events: of its stream.
        exit: the status of a process.
        words: what a person is told of an error.
    """

    error: ErrorInfo | None = None
    result: Json = None
    run: Run | None = None
    events: list[Event] | None = None
    exit: int | None = None
    words: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call, in a form that can be compared.

    Attributes:
        code: of the refusal or of the run's error, ``""`` when all went well.
        record: rows of the run and of those nested in it, without ids, times, source.
        events: of those runs.
        counted: refusals the host counted.
    """

    code: str
    message: str
    details: JsonObject
    result: Json
    record: list[JsonObject]
    events: list[list[JsonObject]]
    counted: dict[str, int]


def told_by_run(run: Run, events: list[Event] | None = None, exit: int | None = None) -> Told:
    """For doors that answer with the run at its end."""
    error = run.error if run.status != "succeeded" else None
    return Told(error=error, result=run.result, run=run, events=events, exit=exit)


def row(run: Run, source: str) -> JsonObject:
    """A run without what is each execution's own."""
    plain = _neutral(decode(encode(run)), source)
    assert isinstance(plain, dict)
    plain["source"] = _neutral_source(run.source, source)
    plain["chain"] = [_neutral_source(name, source) for name in run.chain]
    return {name: value for name, value in plain.items() if name not in _OWN}


def events_of(events: list[Event], source: str) -> list[JsonObject]:
    """Events without ids and times."""
    return [_event(event, source) for event in events]


def _event(event: Event, source: str) -> JsonObject:
    data = _neutral(event.data, source)
    if event.by == "host" and isinstance(data, dict):
        data = {name: value for name, value in data.items() if name not in _OWN}
    return {"seq": event.seq, "kind": event.kind, "level": event.level, "by": event.by,
            "text": _text(event.text, source), "data": data}  # fmt: skip


def neutral_error(error: ErrorInfo | None, source: str, *, by_id: bool) -> tuple[str, str, JsonObject]:
    """Code, message and details; see LEGITIMATE for ``run_id``."""
    if error is None:
        return "", "", {}
    details = {name: value for name, value in error.details.items() if not (by_id and name == "run_id")}
    plain = _neutral(details, source)
    assert isinstance(plain, dict)
    if error.code == "unauthenticated":
        return error.code, "", plain
    return error.code, _text(error.message, source), plain


def _neutral(value: Json, source: str) -> Json:
    if isinstance(value, str):
        return _text(value, source)
    if isinstance(value, dict):
        return {_text(name, source): _neutral(member, source) for name, member in value.items()}
    if isinstance(value, list):
        return [_neutral(item, source) for item in value]
    return value


def _text(text: str, source: str) -> str:
    text = _ids.sub("<id>", text)
    return re.sub(rf"\b(at|to) {re.escape(source)}$", r"\1 SOURCE", text)


def _neutral_source(name: str, source: str) -> str:
    return "SOURCE" if name == source else name


def compared(reference: Outcome, outcome: Outcome, told: Told, *, keyed: bool) -> list[str]:
    """Every difference, as text; none if the doors agree.

    Args:
        told: by the other door, which may say less than an outcome has.
        keyed: whether it was given an idempotency key.
    """
    left, right = _fields(reference, keyed=keyed), _fields(outcome, keyed=keyed)
    if told.words is not None:
        left |= {"code": "", "details": {}, "result": None, "message": ""}
        right |= {"code": "", "details": {}, "result": None, "message": ""}
    found = [f"{name}: {left[name]!r} is {right[name]!r} here" for name in left if not same(left[name], right[name])]
    if told.words is not None and f"error: {reference.message}\n" not in told.words and reference.code:
        found.append(f"message: {reference.message!r} is not in {told.words!r}")
    expected = ERROR_TABLE[reference.code].exit if reference.code else 0
    if told.exit is not None and told.exit != expected:
        found.append(f"exit status: {told.exit} instead of {expected} for {reference.code!r}")
    return found


def same(one: object, other: object) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values."""
    return msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")


def _fields(outcome: Outcome, *, keyed: bool) -> dict[str, object]:
    fields = msgspec.structs.asdict(outcome)
    if not keyed:
        dropped = "args_digest"
        fields["record"] = [{k: v for k, v in record.items() if k != dropped} for record in outcome.record]
    return fields
