"""A reading of logs for tests: all in memory, in the words of docs/audit-format.md, in none of the verifier's ways."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from log_kit import NOTHING, mth, sha, text_of


class No(Exception):
    """Not intact."""


def need(holds: object) -> None:
    if not holds:
        raise No


def plain(value: Any) -> bool:
    """Only values that may occur."""
    if isinstance(value, dict):
        return all(re.fullmatch("[a-z][a-z0-9_]*", key) and plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return not isinstance(value, float) and (not isinstance(value, int) or abs(value) < 2**53)


def parsed(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
        need(len(line) < 1 << 20 and type(record) is dict and plain(record) and text_of(record) == line)
    except (ValueError, RecursionError):
        raise No from None
    need(type(record.get("n")) is int and type(record.get("ts")) is int)
    need(isinstance(record.get("prev"), str) and isinstance(record.get("kind"), str))
    return record


def signed(record: dict[str, Any], public: str, name: str = "sig") -> None:
    bare = text_of({key: value for key, value in record.items() if key not in ("sig", "sig_old")})
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(record[name]), f"trunnion-audit/1 {record['kind']}\n".encode() + bare)
    except (InvalidSignature, ValueError, KeyError, TypeError):
        raise No from None


def verdict(folder: Path) -> str:
    """``intact``, ``torn`` or ``not intact``; of a log whose history begins with record 1."""
    try:
        return judged(folder)
    except (No, ValueError, KeyError, TypeError, AttributeError, IndexError):  # what cannot be read
        return "not intact"


def judged(folder: Path) -> str:
    paths = sorted(folder.glob("audit-*.jsonl"), key=lambda path: int(path.name[6:-6]))
    need([int(path.name[6:-6]) for path in paths] == list(range(1, len(paths) + 1)))
    prev, leaves, keys, host, lines = NOTHING, list[bytes](), dict[str, str](), "", list[bytes]()
    torn = False
    for number, path in enumerate(paths, 1):
        whole, _, rest = path.read_bytes().rpartition(b"\n")
        torn = bool(rest) or not (whole or rest)
        need(not torn or number == len(paths))
        if not whole:
            continue
        for place, line in enumerate(whole.split(b"\n")):
            record = parsed(line)
            kind = record["kind"]
            need(record["n"] == len(leaves) + 1 and record["prev"] == prev)
            need((place == 0) == (kind in ("genesis", "segment")))
            if place == 0:
                need((kind == "genesis") == (number == 1) and record["segment"] == number)
            if kind in ("genesis", "key"):
                need(sha(bytes.fromhex(record["public"])).hex()[:16] == record["key"])
                if kind == "key":
                    need(record["by"] == list(keys)[-1])
                    signed(record, keys[record["by"]], "sig_old")
                keys[record["key"]] = record["public"]
            if kind in ("genesis", "segment", "checkpoint", "key", "cut"):
                host = host or record["host_id"]
                need(record["host_id"] == host)
            if kind in ("genesis", "key", "checkpoint", "cut"):
                need(record["key"] == list(keys)[-1])
                signed(record, keys[record["key"]])
            if kind == "checkpoint":
                need((record["size"], record["root"], record["head"]) == (len(leaves), mth(leaves).hex(), prev))
            leaves.append(sha(b"\0" + line))
            lines.append(line)
            prev = sha(line).hex()
    if (folder / "checkpoint.json").exists():
        kept = (folder / "checkpoint.json").read_bytes().removesuffix(b"\n")
        need(len(lines) >= parsed(kept)["n"] and lines[parsed(kept)["n"] - 1] == kept)
    if (folder / "keys.json").exists():
        for entry in parsed_keys((folder / "keys.json").read_bytes()):
            need(keys.get(entry["id"]) == entry["public"] and entry["record"].encode() in lines)
    return "torn" if torn else "intact"


def parsed_keys(data: bytes) -> list[dict[str, str]]:
    try:
        listed = json.loads(data)
        need(text_of(listed) == data.removesuffix(b"\n"))
        return listed["keys"]
    except (ValueError, KeyError):
        raise No from None
