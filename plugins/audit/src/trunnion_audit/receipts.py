"""Receipts: what a third party needs to see that a run is on record, and what it was given and gave back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from trunnion import HostHandle, Json
from trunnion_audit.commitments import ARGS, EVENTS, RESULT, event_line, result_text
from trunnion_audit.keys import Salts
from trunnion_audit.ledger import now
from trunnion_audit.log import Log
from trunnion_audit.proofs import Sealed, Unprovable, beginning_of, inclusion, lines_of, sealed_by

SIGNED = b"trunnion-audit/1 receipt\n"


class Told(NamedTuple):
    """What a receipt discloses beside the records.

    Attributes:
        result: JSON text of the run's result, as it was committed to; None where it is no longer kept.
        events: lines of its events, each with its LF; None: they are not asked for.
    """

    result: bytes | None = None
    events: Sequence[bytes] | None = None


class Seal(NamedTuple):
    """Who makes a receipt.

    Attributes:
        host_id: whose log it is.
        keys: public ones, as in ``keys.json``.
        key: id of the latest.
        sign: signs with it; returns hex digits.
        salt: of a commitment, by what it is for and the id of the run.
    """

    host_id: str
    keys: Sequence[Mapping[str, str]]
    key: str
    sign: Callable[[bytes], str]
    salt: Callable[[str, str], bytes]


class _Found(NamedTuple):
    lines: Mapping[str, tuple[int, bytes]]
    sealed: Sealed


def receipt(folder: Path, run: str, told: Told, seal: Seal) -> bytes:
    """The receipt of a run.

    Args:
        folder: of the log.
        run: id of the run.
        told: what it discloses.
        seal: who makes it.

    Returns:
        The file, with its LF.

    Raises:
        Unprovable: the run is not on record, or not sealed by a checkpoint yet, or the log is damaged.
    """
    found = _found(folder, run)
    proofs = inclusion(folder, [number for number, _ in found.lines.values()], found.sealed)
    content: dict[str, Json] = {
        "type": "trunnion-audit-receipt",
        "v": 1,
        "host_id": seal.host_id,
        "run": run,
        "records": [
            {"line": line.decode(), "n": number, "proof": list(proofs[number])}
            for number, line in sorted(found.lines.values())
        ],
        "checkpoint": found.sealed.line.decode(),
        "keys": [dict(entry) for entry in seal.keys],
        "key": seal.key,
        **_disclosed({kind: json.loads(line) for kind, (_, line) in found.lines.items()}, run, told, seal),
    }
    signature = seal.sign(SIGNED + _encoded(content))
    return _encoded({**content, "sig": signature}) + b"\n"


def _encoded(content: Mapping[str, Json]) -> bytes:
    return msgspec.json.encode(content, order="sorted")


def _found(folder: Path, run: str) -> _Found:
    """The intent and the outcome of a run, the first of each, and the last checkpoint of the log."""
    mark = b'"run":' + msgspec.json.encode(run)
    lines: dict[str, tuple[int, bytes]] = {}
    sealed: Sealed | None = None
    for number, line in lines_of(folder, beginning_of(folder)):
        if mark in line:
            record = json.loads(line)
            if record["kind"] in {"intent", "outcome"} and record.get("run") == run:
                lines.setdefault(record["kind"], (number, line))
        sealed = sealed_by(line) or sealed
    if not lines:
        raise Unprovable(f"no run {run} is on record in the audit log; it may be of before the log begins")
    if sealed is None or sealed.size < min(number for number, _ in lines.values()):
        raise Unprovable(f"no checkpoint covers the run {run} yet")
    covered = {kind: (number, line) for kind, (number, line) in lines.items() if number <= sealed.size}
    return _Found(covered, sealed)


def _disclosed(records: Mapping[str, Mapping[str, str]], run: str, told: Told, seal: Seal) -> dict[str, Json]:
    """The texts that were committed to, with their salts; a text that is no longer the same is left out."""
    intent, outcome = records.get("intent", {}), records.get("outcome", {})
    events = None if told.events is None else b"".join(told.events)
    found: dict[str, Json] = {}
    for field, record, text in (
        (ARGS, intent, _args(intent)),
        (RESULT, outcome, told.result),
        (EVENTS, outcome, events),
    ):
        commitment = record.get(f"{field}_commit")
        if commitment is None:
            continue
        salt = seal.salt(field, run)
        found[f"{field}_salt"] = salt.hex()
        if text is not None and sha256(salt + text).hexdigest() == commitment:
            found[field] = text.decode() if field != EVENTS else text.decode().split("\n")[:-1]
    return found


def _args(intent: Mapping[str, str]) -> bytes | None:
    return intent["args"].encode() if "args" in intent else None


async def give(host: HostHandle, log: Log, salts: Salts, run_id: str, *, events: bool) -> str:
    """The receipt of a run of a host, sealed by a checkpoint of now.

    Args:
        host: has the result and the events.
        log: the run is on record in.
        salts: of its commitments.
        run_id: of the run.
        events: whether the lines of its events are disclosed too.

    Raises:
        Unprovable: there is none; the message says why.
        FileProblem: the log cannot be sealed.
    """
    log.seal(now())
    run = await host.history.run(run_id)
    lines = await _event_lines(host, run_id) if events else None
    told = Told(None if run is None or run.result is None else result_text(run), lines)
    keys = [msgspec.structs.asdict(entry) for entry in log.keys]
    seal = Seal(log.host_id, keys, log.key.id, log.key.sign, salts.salt)
    return (await host.in_thread(lambda: receipt(log.folder, run_id, told, seal))).decode()


async def _event_lines(host: HostHandle, run_id: str) -> list[bytes]:
    found: list[bytes] = []
    while events := await host.history.events(f"run/{run_id}", len(found)):
        if any(event.kind == "gap" for event in events):
            raise Unprovable(f"not all events of the run {run_id} are kept: ask for a receipt without them")
        found += map(event_line, events)
    return found
