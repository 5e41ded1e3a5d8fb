"""What tests of the audit log read and write it with; nothing of it comes from the writer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from trunnion_audit.records import Intent, Outcome

HOST = "0192f0c1-0000-7000-8000-000000000001"


def intent(number: int, **changes: Any) -> Intent:
    facts: dict[str, Any] = {
        "ts": number,
        "what": "command",
        "target": "device.write",
        "revision": "r1",
        "effect": "write",
        "decision": "owner",
        "policy": "strict",
        "principal": "ann",
        "role": "admin",
        "source": "cli",
        "run": f"run-{number}",
        "args": '{"value":1.5}',
    }
    return Intent(**{**facts, **changes})


def outcome(number: int, of: int) -> Outcome:
    facts: dict[str, Any] = {"status": "succeeded", "duration": 5, "finished": number, "events": 2}
    return Outcome(ts=number, run=f"run-{number}", target="device.write", intent=of, **facts)


def lines(folder: Path) -> list[bytes]:
    """All whole lines of a log, without their LF."""
    found = []
    for path in sorted(folder.glob("audit-*.jsonl"), key=lambda path: int(path.stem[6:])):
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        found += whole.split(b"\n") if whole else []
    return found


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(folder)]


def of_kind(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [record for record in records(folder) if record["kind"] == kind]


def canonical(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\1" + root_of(leaves[:half]) + root_of(leaves[half:])).digest()


def check_chain(folder: Path) -> int:
    """Every line is canonical, follows the one before, and is counted; how many there are."""
    before = "0" * 64
    found = lines(folder)
    for number, line in enumerate(found, 1):
        record = json.loads(line)
        assert canonical(record) == line
        assert (record["n"], record["prev"]) == (number, before), record
        before = hashlib.sha256(line).hexdigest()
    return len(found)
