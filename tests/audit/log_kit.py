"""Audit logs made from the text of the format alone: a third reading beside the writer's and the verifier's."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NOTHING = "0" * 64


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def text_of(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def mth(leaves: list[bytes]) -> bytes:
    """The tree as RFC 6962, 2.1, defines it; leaves are hashed already."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha(b"")
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1" + mth(leaves[:half]) + mth(leaves[half:]))


def path_of(place: int, leaves: list[bytes]) -> list[bytes]:
    """The audit path, 2.1.1."""
    if len(leaves) < 2:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if place < half:
        return [*path_of(place, leaves[:half]), mth(leaves[half:])]
    return [*path_of(place - half, leaves[half:]), mth(leaves[:half])]


def proof_of(size: int, leaves: list[bytes], known: bool = True) -> list[bytes]:
    """The proof of consistency, 2.1.2."""
    if size == len(leaves):
        return [] if known else [mth(leaves)]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if size <= half:
        return [*proof_of(size, leaves[:half], known), mth(leaves[half:])]
    return [*proof_of(size - half, leaves[half:], False), mth(leaves[:half])]


class Signer:
    """A key of a host, always the same for one seed."""

    def __init__(self, seed: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(sha(seed.encode()))
        self.public = self._key.public_key().public_bytes_raw().hex()
        self.id = sha(bytes.fromhex(self.public)).hex()[:16]

    def over(self, kind: str, record: dict[str, Any]) -> str:
        bare = {k: v for k, v in record.items() if k not in ("sig", "sig_old")}
        return self._key.sign(b"trunnion-audit/1 " + kind.encode() + b"\n" + text_of(bare)).hex()


class Log:
    """A log in memory; ``write`` puts it into a directory.

    Attributes:
        segments: the lines of each, without LF.
        numbers: of the segments.
    """

    def __init__(self, host_id: str = "host-a", seed: str = "key") -> None:
        self.host_id, self.seed = host_id, seed
        self.signers = [Signer(seed)]
        self.segments: list[list[bytes]] = [[]]
        self.numbers = [1]
        self.leaves: list[bytes] = []
        self.prev = NOTHING
        self.clock = 1_700_000_000_000_000
        self.listed: list[dict[str, str]] = []
        self.cut_line = b""
        self.checkpoints: list[bytes] = []
        key = self.signers[0]
        self._keyed("genesis", key, v=1, host_id=host_id, segment=1, key=key.id, public=key.public)

    @property
    def size(self) -> int:
        return len(self.leaves)

    @property
    def lines(self) -> list[bytes]:
        return [line for segment in self.segments for line in segment]

    def root(self, size: int | None = None) -> str:
        return mth(self.leaves[:size]).hex()

    def head(self, kind: str, members: dict[str, Any]) -> dict[str, Any]:
        self.clock += 1_000
        return {"n": self.size + 1, "prev": self.prev, "ts": self.clock, "kind": kind, **members}

    def put(self, record: dict[str, Any]) -> bytes:
        return self.put_line(text_of(record))

    def put_line(self, line: bytes) -> bytes:
        self.segments[-1].append(line)
        self.leaves.append(sha(b"\0" + line))
        self.prev = sha(line).hex()
        return line

    def add(self, kind: str, **members: Any) -> bytes:
        return self.put(self.head(kind, members))

    def signed(self, kind: str, **members: Any) -> bytes:
        record = self.head(kind, members)
        return self.put({**record, "sig": self.signers[-1].over(kind, record)})

    def _keyed(self, kind: str, new: Signer, **members: Any) -> None:
        record = self.head(kind, members)
        old = {"sig_old": self.signers[-1].over(kind, record)} if kind == "key" else {}
        line = self.put({**record, **old, "sig": new.over(kind, record)})
        self.listed.append({"id": new.id, "public": new.public, "record": line.decode()})

    def rotate(self) -> None:
        """A new key, and the old one signs that."""
        new, old = Signer(f"{self.seed}{len(self.signers)}"), self.signers[-1]
        self._keyed("key", new, host_id=self.host_id, key=new.id, public=new.public, by=old.id, reason="rotated")
        self.signers.append(new)

    def segment(self) -> None:
        self.segments.append([])
        self.numbers.append(self.numbers[-1] + 1)
        self.add("segment", v=1, host_id=self.host_id, segment=self.numbers[-1], nodes=self.nodes(self.size))

    def checkpoint(self, **other: Any) -> bytes:
        members = {
            "host_id": self.host_id,
            "size": self.size,
            "root": self.root(),
            "head": self.prev,
            "key": self.signers[-1].id,
        }
        self.checkpoints.append(self.signed("checkpoint", **{**members, **other}))
        return self.checkpoints[-1]

    def nodes(self, size: int) -> list[str]:
        """The perfect subtrees of the first leaves."""
        nodes, start = [], 0
        for level in range(size.bit_length() - 1, -1, -1):
            if size >> level & 1:
                nodes.append(mth(self.leaves[start : start + (1 << level)]).hex())
                start += 1 << level
        return nodes

    def cut(self, segment: int, **other: Any) -> None:
        """Retention removes the segments below one."""
        place = self.numbers.index(segment)
        first = json.loads(self.segments[place][0])
        size = first["n"] - 1
        members: dict[str, Any] = {
            "host_id": self.host_id,
            "segment": segment,
            "first": first["n"],
            "head": first["prev"],
            "nodes": self.nodes(size),
            "root": self.root(size),
            "keys": list(self.listed),
            "removed": size - (json.loads(self.segments[0][0])["n"] - 1),
            "reason": "older than 90 days",
            "key": self.signers[-1].id,
        }
        self.cut_line = self.signed("cut", **{**members, **other})
        self.checkpoint()
        self.segments, self.numbers = self.segments[place:], self.numbers[place:]

    def keys(self) -> bytes:
        return text_of({"host_id": self.host_id, "keys": self.listed, "v": 1}) + b"\n"

    def files(self) -> dict[str, bytes]:
        """All files of the directory."""
        found = {"keys.json": self.keys()}
        for number, lines in zip(self.numbers, self.segments, strict=True):
            found[name_of(number)] = b"".join(line + b"\n" for line in lines)
        if self.checkpoints:
            found["checkpoint.json"] = self.checkpoints[-1] + b"\n"
        if self.cut_line:
            found["cut.json"] = self.cut_line + b"\n"
        return found

    def write(self, directory: Path) -> Path:
        return write(directory, self.files())


def name_of(number: int) -> str:
    return f"audit-{number:08d}.jsonl"


def write(directory: Path, files: dict[str, bytes]) -> Path:
    """Make a directory hold these files and no others."""
    directory.mkdir(exist_ok=True)
    for path in directory.iterdir():
        path.unlink()
    for name, data in files.items():
        (directory / name).write_bytes(data)
    return directory


WORDS = ["alice", "bøb", 'say "no"', "a\\b", "line\nline", "\x00\x7f\u2028/", "😀", ""]


def intent(log: Log, run: str, chance: random.Random, **more: Any) -> bytes:
    args = json.dumps({"v": chance.random(), "t": chance.choice(WORDS)}, ensure_ascii=chance.random() < 0.5)
    members = {
        "principal": chance.choice(WORDS),
        "source": "rpc",
        "role": "operator",
        "credential": "cert:1f",
        "what": "command",
        "target": "plc.write",
        "revision": "ab12",
        "effect": "write",
        "decision": "grant:ops",
        "policy": "strict",
        "run": run,
        "args": args,
        "args_digest": "cd" * 32,
        "args_commit": sha(sha(run.encode()) + args.encode()).hex(),
    }
    return log.add("intent", **members, **more)


def outcome(log: Log, run: str, of: int, **more: Any) -> bytes:
    members = {
        "run": run,
        "target": "plc.write",
        "intent": of,
        "status": "succeeded",
        "started": log.clock,
        "finished": log.clock + 5,
        "duration": 5,
        "events": 2,
    }
    return log.add("outcome", **members, **more)


def made(records: int, *, every: int = 25, segments: int = 3, **options: Any) -> Log:
    """A log of so many records, its last one a checkpoint, with a new key in its middle."""
    chance, log = random.Random("made"), Log(**options)
    while log.size < records - 1:
        if log.size == records // 2:
            log.rotate()
        elif log.size % (records // segments + 1) == 0 and len(log.segments) < segments:
            log.segment()
        elif log.size % every == 0:
            log.checkpoint()
        elif log.size % 7 == 3:
            refused = {"principal": "", "source": "rpc", "role": "", "what": "call", "target": "x", "code": "forbidden"}
            log.add("refusal", **refused, reason=chance.choice(WORDS))
        elif log.size % 11 == 5:
            log.add("admin", principal="alice", source="cli", role="admin", action="config.change", detail='{"a":1.5}')
        elif log.size % 2:
            intent(log, f"run-{log.size}", chance)
        else:
            outcome(log, f"run-{log.size - 1}", log.size - 1)
    log.checkpoint()
    return log
