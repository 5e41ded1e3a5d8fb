"""Check an audit log of Trunnion, a receipt or a proof, on any machine.

    python verify.py DIR [--keys FILE|ID] [--against FILE|SIZE:ROOT]... [--host ID] [--since N|TIME] [--json]
    python verify.py receipt FILE [--keys FILE|ID] [--host ID] [--json]
    python verify.py proof FILE [--keys FILE|ID] [--against FILE|SIZE:ROOT]... [--host ID] [--json]

This is one file on purpose: copy it to a machine that has Python and ``cryptography`` and nothing of Trunnion. It knows
``docs/audit-format.md`` and no line of the code that writes logs. It reads a log once, in the memory that the longest
line takes; a compressed segment needs the module ``zstandard``. Exit status: 0 intact, 1 not, 2 the question was wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import io
import json
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from concurrent.futures import Future

Record = dict[str, object]

LONGEST = 1 << 20
"""Bytes of the longest line, its LF included."""
NOTHING = "0" * 64
NAMED = 100
"""Findings that are kept word for word; more are counted."""
SEARCHED = 8
"""How often a segment is searched for a record that is not in its place."""
RANGE = 8 << 20
"""Bytes one worker checks at a time."""
WORTH_WORKERS = 4 * RANGE
LARGEST = 2**53 - 1

# ---------------------------------------------------------------------------------------------- the one encoding


class Malformed(Exception):
    """A line that is no record; the message says why."""


class Trouble(Exception):
    """The question cannot be answered; the message says why and what to do. Exit status 2."""


def encode(value: object) -> bytes:
    """The one encoding of a value, without LF.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate.
    """
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def decode(line: bytes) -> Record:
    """The object a line holds.

    Args:
        line: without its LF.

    Raises:
        Malformed: it is not one, or not in the one encoding.
    """
    if len(line) >= LONGEST:
        raise Malformed(f"has more than {LONGEST} bytes")
    try:
        value = json.loads(line.decode(), parse_float=_no_number, parse_constant=_no_number)
        if not isinstance(value, dict):
            raise Malformed("is not a JSON object")
        _judge_values(value)
        if encode(value) != line:
            raise Malformed("is not in the one encoding")
    except UnicodeError:
        raise Malformed("is not UTF-8") from None
    except (ValueError, RecursionError):
        raise Malformed("is not JSON") from None
    return value


def _no_number(text: str) -> object:
    raise Malformed(f"holds {text[:40]}, which is no integer")


KEY = re.compile(r"[a-z][a-z0-9_]*")


def _judge_values(value: object) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not KEY.fullmatch(key):
                raise Malformed(f"has a member {key[:40]!r}")
            _judge_values(inner)
    elif isinstance(value, list):
        for inner in value:
            _judge_values(inner)
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise Malformed("holds an integer beyond 2^53-1")


# ------------------------------------------------------------------------------------------------ kinds of records

EVERY = "n:int prev:hash ts:int kind:str"
WHO = "principal:str source:str chain:strs role:str credential:str"
STRUCTURAL = {
    "genesis": "v:int host_id:str segment:int key:str public:str sig:str after?:object",
    "segment": "v:int host_id:str segment:int nodes?:strs",
    "checkpoint": "host_id:str size:int root:str head:str key:str sig:str",
    "key": "host_id:str key:str public:str by:str reason:str sig_old:str sig:str",
    "cut": "host_id:str segment:int first:int head:str nodes:strs root:str keys:objects removed:int reason:str "
    "key:str sig:str",
}
"""Members of the records the log is held together by; all but those with ``?`` must be there."""
ORDINARY = {
    "torn": "bytes:int sha256:str head:str segment:int",
    "lost": "count:int since:int until:int reason:str",
    "intent": f"{WHO} what:str target:str revision:str effect:str decision:str policy:str run:str parent:str "
    "session:str args:str args_head:str args_size:int args_digest:str args_commit:str",
    "refusal": f"{WHO} what:str target:str code:str reason:str run:str",
    "refusals": "since:int until:int total:int counts:objects",
    "outcome": "run:str target:str intent:int status:str code:str error:str attempt:int started:int finished:int "
    "duration:int events:int events_commit:str result_size:int result_commit:str",
    "missing": "intent:int run:str reason:str",
    "admin": f"{WHO} action:str detail:str run:str",
    "output": "stream:str seq:int at:int of:str level:str by:str text:str text_size:int text_sha256:str",
}
"""Members of the other records."""


def _members(text: str) -> dict[str, str]:
    return dict(member.split(":") for member in text.split())


TYPES = {kind: _members(f"{EVERY} {text}") for kind, text in (STRUCTURAL | ORDINARY).items()}


def _is(value: object, wanted: str) -> bool:
    if wanted == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if wanted in {"str", "hash"}:
        return isinstance(value, str)
    if wanted == "object":
        return isinstance(value, dict)
    inner = str if wanted == "strs" else dict
    return isinstance(value, list) and all(isinstance(one, inner) for one in value)


def record_of(line: bytes, *kinds: str) -> Record:
    """The record a line holds, its members of the right types.

    Args:
        line: without its LF.
        *kinds: that it may be of; none: any.

    Raises:
        Malformed: it is none.
    """
    record = decode(line)
    for name, wanted in _members(EVERY).items():
        if not _is(record.get(name), wanted):
            raise Malformed(f"has no {name}" if name not in record else f"has a {name} of the wrong type")
    kind = str(record["kind"])
    for member, wanted in TYPES.get(kind, {}).items():
        name = member.removesuffix("?")
        if name in record and not _is(record[name], wanted):
            raise Malformed(f"has a {name} of the wrong type")
        if name == member and name not in record and kind in STRUCTURAL:
            raise Malformed(f"is a {kind} without {name}")
    if kinds and kind not in kinds:
        raise Malformed(f"is a {kind[:20]}")
    return record


# Most lines are told to be in the one encoding, and of the right types, by one expression for each kind, several times
# faster than by decoding and encoding them. What an expression does not match is not wrong yet: it takes the long way.
TEXT = r'"(?:[^"\\\x00-\x1f]++|\\(?:[bfnrt]|u00(?:0[0-7bef]|1[0-9a-f])))*+"'
SHAPES = {
    "int": r"(?:0|-?[1-9][0-9]{0,14}|[1-8][0-9]{15})",
    "str": TEXT,
    "strs": rf"\[(?:{TEXT}(?:,{TEXT})*+)?+\]",
}


def _expression(kind: str) -> re.Pattern[str] | None:
    members = TYPES[kind]
    if not set(members.values()) <= {*SHAPES, "hash"}:
        return None
    pattern = r"\{"
    for name in sorted(members):
        shape = {"n": "([1-9][0-9]{0,14})", "prev": '"([0-9a-f]{64})"', "kind": f'"{kind}"'}.get(name)
        part = f'"{name}":{shape or SHAPES[members[name]]},'
        pattern += part if name in _members(EVERY) else f"(?:{part})?+"
    return re.compile(pattern + r"\Z")


EXPRESSIONS = {kind.encode(): expression for kind in ORDINARY if (expression := _expression(kind)) is not None}


def quick(line: bytes) -> tuple[str, str] | None:
    """``n`` and ``prev`` of an ordinary record, as they are written; None: take the long way.

    Args:
        line: without its LF.
    """
    start = line.find(b'"kind":"') + 8
    expression = EXPRESSIONS.get(line[start : line.find(b'"', start)])
    if expression is None or len(line) >= LONGEST or line[-1:] != b"}":
        return None
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return None
    if "\\" in text:  # the two escapes that are common; outside of a string what they become cannot match
        text = text.replace("\\\\", "~~").replace('\\"', "~~")
    found = expression.match(text[:-1] + ",")
    return (found[1], found[2]) if found is not None else None


# -------------------------------------------------------------------------------------------------------- the tree


def leaf_of(line: bytes) -> bytes:
    """The leaf of a line (without LF)."""
    return sha256(b"\x00" + line).digest()


def above(left: bytes, right: bytes) -> bytes:
    """The node over two others."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """The perfect subtrees of leaves that follow each other, from the largest to the smallest.

    Args:
        size: leaves before the first one that is added.

    Attributes:
        size: the number of the next leaf.
        nodes: (level, hash): a subtree of 2^level leaves.
    """

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self.nodes: list[tuple[int, bytes]] = []

    def add(self, node: bytes, level: int = 0) -> None:
        """Put a subtree to the right."""
        nodes, place = self.nodes, self.size >> level
        self.size += 1 << level
        while place & 1 and nodes and nodes[-1][0] == level:
            node = above(nodes.pop()[1], node)
            level += 1
            place >>= 1
        nodes.append((level, node))

    def taken(self) -> list[tuple[int, bytes]]:
        """The subtrees so far, for another tree to add; this one goes on without them."""
        nodes, self.nodes = self.nodes, []
        return nodes

    def hashes(self) -> list[str]:
        """The subtrees of a tree that began with leaf 0, as ``cut`` and ``segment`` records have them."""
        return [node.hex() for _, node in self.nodes]

    def root(self) -> str:
        """The root over all leaves; of a tree that began with leaf 0."""
        if not self.nodes:
            return sha256().hexdigest()
        node = self.nodes[-1][1]
        for _, left in reversed(self.nodes[:-1]):
            node = above(left, node)
        return node.hex()


def tree_of(size: int, nodes: Sequence[str]) -> Tree | None:
    """The tree that a cut goes on with; None if these cannot be its subtrees."""
    tree = Tree()
    levels = [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1] if size > 0 else []
    if len(levels) != len(nodes) or not all(HASH.fullmatch(node) for node in nodes):
        return None
    for level, node in zip(levels, nodes, strict=True):
        tree.add(bytes.fromhex(node), level)
    return tree


HASH = re.compile(r"[0-9a-f]{64}")


def root_by_inclusion(leaf: bytes, number: int, size: int, path: Sequence[bytes]) -> str | None:
    """The root an audit path leads to (RFC 9162, 2.1.3.2); None if it cannot be one.

    Args:
        leaf: hash of the leaf.
        number: of the leaf, from 0.
        size: leaves of the tree.
        path: from the leaf upwards.
    """
    if not 0 <= number < size:
        return None
    place, last, node = number, size - 1, leaf
    for other in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = above(other, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = above(node, other)
        place, last = place >> 1, last >> 1
    return node.hex() if last == 0 else None


def is_consistent(first: tuple[int, str], second: tuple[int, str], proof: Sequence[bytes]) -> bool:
    """Whether the second tree begins with the first (RFC 9162, 2.1.4.2).

    Args:
        first: size and root.
        second: the same of the later one.
        proof: as RFC 6962, 2.1.2, makes it.
    """
    size, later = first[0], second[0]
    if size in {0, later}:
        return not proof and 0 <= size <= later and first[1] == (second[1] if size else sha256().hexdigest())
    path = list(proof) if size & (size - 1) else [bytes.fromhex(first[1]), *proof]
    if not 0 < size < later or not path:
        return False
    place, last = size - 1, later - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for other in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = above(other, old), above(other, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = above(new, other)
        place, last = place >> 1, last >> 1
    return last == 0 and old.hex() == first[1] and new.hex() == second[1]


# -------------------------------------------------------------------------------------------- keys and signatures


@dataclass(frozen=True)
class Key:
    """A key of a log.

    Attributes:
        id: first half of the digest's first half: 16 hex digits.
        public: 64 hex digits.
        line: of the record that brought it in, without LF.
        n: number of that record.
        host_id: the host of that record.
    """

    id: str
    public: str
    line: bytes = b""
    n: int = 0
    host_id: str = ""


def id_of(public: str) -> str:
    """The id of a public key; ``""`` for what is none."""
    return sha256(bytes.fromhex(public)).hexdigest()[:16] if HASH.fullmatch(public) else ""


def signed(record: Mapping[str, object], kind: str) -> bytes:
    """The bytes a signature of a record, a receipt or a proof is made over."""
    covered = {name: value for name, value in record.items() if name not in {"sig", "sig_old"}}
    return b"trunnion-audit/1 " + kind.encode() + b"\n" + encode(covered)


def holds(public: str, signature: object, message: bytes) -> bool:
    """Whether a signature (128 hex digits) is that of a public key (64) over a message."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not isinstance(signature, str) or not re.fullmatch(r"[0-9a-f]{128}", signature) or not HASH.fullmatch(public):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_of(record: Record, line: bytes, before: Key | None) -> Key:
    """The key that a ``genesis`` or ``key`` record brings in.

    Args:
        record: the record.
        line: its line.
        before: the key so far; None for a genesis.

    Raises:
        Wrong: its signatures do not hold, or it does not follow the key so far.
    """
    kind, public = str(record["kind"]), str(record["public"])
    message = signed(record, kind)
    if kind != ("genesis" if before is None else "key"):
        raise Wrong("wrong_key", f"a {kind} brings in a key where none may come")
    if before is not None and record["by"] != before.id:
        raise Wrong("wrong_key", f"names {str(record['by'])[:20]} as the key so far, which was {before.id}")
    if record["key"] != id_of(public):
        raise Wrong("bad_signature", "brings in a key under an id that is not its own")
    if not holds(public, record["sig"], message):
        raise Wrong("bad_signature", f"brings in the key {id_of(public)}, whose signature does not hold")
    if before is not None and not holds(before.public, record["sig_old"], message):
        raise Wrong("bad_signature", f"brings in the key {id_of(public)}, and the key {before.id} did not sign that")
    number = record["n"]
    return Key(id_of(public), public, line, number if isinstance(number, int) else 0, str(record["host_id"]))


def chain_of(keys: object) -> list[Key]:
    """The keys of a ``keys.json``, a cut, a receipt or a proof, each vouched for by the one before.

    Raises:
        Wrong: they are no chain.
    """
    chain: list[Key] = []
    for entry in keys if isinstance(keys, list) else []:
        if not isinstance(entry, dict) or not isinstance(entry.get("record"), str):
            raise Wrong("wrong_key", "a key is given without its record")
        try:
            line = entry["record"].encode()
            record = record_of(line, "genesis", "key")
        except (Malformed, UnicodeError) as error:
            raise Wrong("wrong_key", f"the record of a key {error}") from None
        key = key_of(record, line, chain[-1] if chain else None)
        if chain and (key.n <= chain[-1].n or key.host_id != chain[0].host_id):
            raise Wrong("wrong_key", f"the key {key.id} does not come after the one before it")
        if (entry.get("id"), entry.get("public")) != (key.id, key.public):
            raise Wrong("wrong_key", f"the key {key.id} is listed under another name")
        chain.append(key)
    if not chain:
        raise Wrong("wrong_key", "there are no keys")
    return chain


class Wrong(Exception):
    """Something that is found: the name of the finding, a sentence, and the number of the record where it is known."""

    def __init__(self, name: str, text: str, record: int = 0) -> None:
        super().__init__(text)
        self.name, self.record = name, record


def judge_signature(record: Record, kind: str, keys: Sequence[Key]) -> None:
    """Hold a signed record against the keys brought in before it.

    Raises:
        Wrong: ``wrong_key``, ``unknown_key`` or ``bad_signature``.
    """
    name = str(record["key"])
    if not keys or name != keys[-1].id:
        known = any(key.id == name for key in keys)
        now = f", not by {keys[-1].id}, the key at that place" if keys else ""
        raise Wrong("wrong_key" if known else "unknown_key", f"the {kind} is signed by the key {name[:20]}{now}")
    if not holds(keys[-1].public, record["sig"], signed(record, kind)):
        raise Wrong("bad_signature", f"the signature of the {kind} does not hold")


@dataclass(frozen=True)
class Given:
    """Keys from outside: a chain, or one public key or id."""

    chain: tuple[Key, ...] = ()
    one: str = ""

    def judge(self, keys: Sequence[Key], last: int) -> None:
        """Hold the keys of a log against those from outside.

        Args:
            keys: of the log.
            last: number of its last record.

        Raises:
            Wrong: they are not the same.
        """
        if self.one and not any(self.one in {key.id, key.public} for key in keys):
            raise Wrong("unknown_key", f"no key of this log is the one given, {self.one[:16]}")
        there = {key.n: key.line for key in keys}
        same = [key for key in self.chain if there.get(key.n) == key.line]
        if self.chain and not same:
            raise Wrong("unknown_key", "no key of this log is one of those given")
        for key in self.chain:
            if key.n > last:
                text = f"the log ends at record {last}, and brought in the key {key.id} at {key.n}"
                raise Wrong("truncated", text, last + 1)
            if key not in same and key.n >= keys[0].n:
                raise Wrong("wrong_key", f"the log did not bring in the given key {key.id} at {key.n}", key.n)


def given_keys(text: str) -> Given:
    """What ``--keys`` says: a file like ``keys.json``, or a public key or its id.

    Raises:
        Trouble: it is neither.
    """
    if re.fullmatch(r"[0-9a-f]{16}|[0-9a-f]{64}", text):
        return Given(one=text)
    raw = _bytes_of(Path(text), "the file of keys").strip()
    if re.fullmatch(rb"[0-9a-f]{16}|[0-9a-f]{64}", raw):
        return Given(one=raw.decode())
    try:
        return Given(tuple(chain_of(decode(raw).get("keys"))))
    except (Malformed, Wrong) as error:
        raise Trouble(
            f"{text} is no file of keys: {error}. Give a copy of keys.json, a public key or its id."
        ) from None


def _bytes_of(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Trouble(f"cannot read {what}, {path}: {error.strerror or error}") from None


# --------------------------------------------------------------------------------------------------------- findings


@dataclass(frozen=True)
class Finding:
    """Something that is not as it must be.

    Attributes:
        name: one of those of the format.
        record: number of the first record concerned; 0 where there is none.
        segment: name of the file it is in.
        offset: of its first byte in the segment.
        text: a sentence.
    """

    name: str
    record: int
    segment: str
    offset: int
    text: str

    def __str__(self) -> str:
        number = f"record {self.record} " if self.record else ""
        place = f"{number}({self.segment} at byte {self.offset}): " if self.segment else ""
        return f"{self.name}: {place}{self.text}"


@dataclass
class Report:
    """What was found, and what of.

    Attributes:
        about: the file or directory.
        findings: in the order of records, up to ``NAMED``; torn is among them, and a warning only.
        more: findings that are counted only.
        notes: what else to know: what was not checked, and whose word was taken.
        facts: host, first and last record, keys, the last checkpoint.
    """

    about: str
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    notes: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)

    def add(self, name: str, record: int, segment: str, offset: int, text: str) -> None:
        """Say one more finding."""
        if len(self.findings) < NAMED:
            self.findings.append(Finding(name, record, segment, offset, text))
        else:
            self.more += 1

    @property
    def verdict(self) -> str:
        """``intact``, ``torn`` or ``not intact``."""
        if not self.findings:
            return "intact"
        return "torn" if {finding.name for finding in self.findings} == {"torn"} else "not intact"

    def settled(self) -> Report:
        """Itself, its findings in the order of records."""
        self.findings.sort(key=lambda finding: finding.record or LARGEST)
        return self

    def as_json(self) -> dict[str, object]:
        """All of it, for programs."""
        found = [dataclasses.asdict(finding) for finding in self.findings]
        rest = {"more": self.more, "notes": self.notes, **self.facts}
        return {"about": self.about, "verdict": self.verdict, "findings": found, **rest}

    def lines(self) -> Iterator[str]:
        """All of it, for people."""
        yield f"{self.about}: {self.verdict}"
        yield from (f"  {finding}" for finding in self.findings)
        if self.more:
            yield f"  and {self.more} more"
        yield from (f"  {name}: {value}" for name, value in self.facts.items())
        yield from (f"  note: {note}" for note in self.notes)


# --------------------------------------------------------------------------------------------------------- segments


@dataclass(frozen=True)
class Segment:
    """One file of a log.

    Attributes:
        number: as in its name.
        path: of the file.
        size: bytes of the file when the directory was read.
    """

    number: int
    path: Path
    size: int

    @property
    def packed(self) -> bool:
        """Whether it is compressed."""
        return self.path.suffix == ".zst"

    def open(self, offset: int = 0) -> IO[bytes]:
        """Its bytes from an offset on."""
        plain = self.path.open("rb", buffering=1 << 18)
        if not self.packed:
            plain.seek(offset)
            return plain
        unpacked = io.BufferedReader(Unpacked(plain), 1 << 18)
        while offset and (passed := len(unpacked.read(min(offset, 1 << 18)))):
            offset -= passed
        return unpacked


class Packed(Protocol):
    """What gives the bytes of a compressed file."""

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes of them."""


class Unpacked(io.RawIOBase):
    """The bytes of a compressed file; where it is damaged they end."""

    def __init__(self, file: IO[bytes]) -> None:
        try:
            zstandard = importlib.import_module("zstandard")
        except ImportError:
            raise Trouble(
                f"{file.name} is compressed, and there is no module zstandard here to read it: install that, "
                f"or run `zstd -d` on the segments"
            ) from None
        self._file = file
        self._errors: tuple[type[Exception], ...] = (zstandard.ZstdError, OSError)
        self._source: Packed = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Put the next bytes into a buffer."""
        try:
            found = self._source.read(len(buffer))
        except self._errors:
            return 0
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()


SEGMENT = re.compile(r"audit-([0-9]{8,})\.jsonl(?:\.zst)?")


def segments_of(directory: Path) -> list[Segment]:
    """The segments in a directory, by number; of a plain and a compressed one the plain one.

    Raises:
        Trouble: the directory cannot be read.
    """
    found: dict[int, Segment] = {}
    try:
        for path in sorted(directory.iterdir(), reverse=True):  # so the plain one comes last, and counts
            named = SEGMENT.fullmatch(path.name)
            if named is not None and int(named[1]) > 0 and named[1] == f"{int(named[1]):08d}":
                with contextlib.suppress(FileNotFoundError):  # retention took it this moment
                    found[int(named[1])] = Segment(int(named[1]), path, path.stat().st_size)
    except OSError as error:
        raise Trouble(f"cannot read {directory}: {error.strerror or error}") from None
    return [found[number] for number in sorted(found)]


@dataclass
class Stretch:
    """Records that are as they must be, and the place after them that needs a look.

    Attributes:
        nodes: subtrees of their leaves.
        want: the number expected next.
        head: hash of the line before; None where any is right.
        before: offset of that line; -1 where it is in none of these.
        offset: where the next line begins.
        raw: that line with its LF; None: nothing there, or only a size asked for.
        record: what it holds if it fits; None: it does not.
    """

    nodes: list[tuple[int, bytes]]
    want: int
    head: str | None
    before: int
    offset: int
    raw: bytes | None = None
    record: Record | None = None


def stretches(
    stream: IO[bytes], offset: int, want: int, head: str | None, *, until: int | None, sizes: Sequence[int]
) -> Iterator[Stretch]:
    """Read lines as long as they fit each other; stop at what does not.

    Args:
        stream: positioned at the beginning of a line.
        offset: of that line.
        want: its number.
        head: hash of the line before; None: any.
        until: offset before which the last line begins; None: to the end.
        sizes: ascending; where the log has as many records a stretch ends.

    Yields:
        A stretch at each size, before each record the log is held together by (and the first of a segment), before a
        line that does not fit, which is the last one then, and at the end.
    """
    tree, before, readline = Tree(want - 1), -1, stream.readline
    stops = iter([size for size in sizes if size >= want - 1])
    stop = next(stops, LARGEST)
    while True:
        if want > stop:
            yield Stretch(tree.taken(), want, head, before, offset)
            stop = next(stops, LARGEST)
        raw = readline(LONGEST + 1) if until is None or offset < until else b""
        if not raw:
            yield Stretch(tree.taken(), want, head, before, offset)
            return
        line = raw[:-1]
        plain = quick(line)
        if plain is None or plain[1] != head or int(plain[0]) != want or raw[-1] != 10 or not offset:
            record = _fitting(raw, want, head)
            if record is None or record["kind"] in STRUCTURAL or not offset:
                yield Stretch(tree.taken(), want, head, before, offset, raw, record)
                if record is None:
                    return
        tree.add(sha256(b"\x00" + line).digest())
        head = sha256(line).hexdigest()
        before, offset, want = offset, offset + len(raw), want + 1


def _fitting(raw: bytes, want: int, head: str | None) -> Record | None:
    try:
        record = record_of(raw[:-1]) if raw.endswith(b"\n") else None
    except Malformed:
        return None
    return record if record and record["n"] == want and head in {None, record["prev"]} else None


Summary = tuple[int, int, str, list[Stretch]]


def summary_of(segment: Segment, start: int, until: int | None, sizes: Sequence[int]) -> Summary | None:
    """What a worker says of the lines that begin in a part of a segment, taking the word of the first for what came
    before: where that begins, its number and ``prev``, and the stretches. None: it is no record.
    """
    with segment.open(max(0, start - 1)) as stream:
        offset = start - 1 + len(stream.readline(LONGEST + 1)) if start else 0
        first = _glance(stream.readline(LONGEST + 1)) if until is None or offset < until else None
        if first is None or first.n is None:
            return None
    with segment.open(offset) as stream:
        found = stretches(stream, offset, first.n, first.prev, until=until, sizes=sizes)
        return offset, first.n, first.prev, list(found)


@dataclass(frozen=True)
class Seen:
    """What a line that is looked at from afar says of itself; ``n`` is None where it is no record."""

    n: int | None
    prev: str
    hash: str


def _glance(raw: bytes) -> Seen | None:
    if not raw.endswith(b"\n"):
        return None if not raw else Seen(None, "", "")
    line = raw[:-1]
    own = sha256(line).hexdigest()
    try:
        record = record_of(line)
    except Malformed:
        return Seen(None, "", own)
    number = record["n"]
    return Seen(number if isinstance(number, int) else None, str(record["prev"]), own)


# ---------------------------------------------------------------------------------------------------------- the log


@dataclass(frozen=True)
class Root:
    """A root kept elsewhere.

    Attributes:
        size: records it speaks of.
        root: of the tree over them.
        host_id: whose log it is; ``""`` where that is not said.
        line: of the checkpoint, without LF; empty where that was not kept.
    """

    size: int
    root: str
    host_id: str = ""
    line: bytes = b""


def kept_roots(texts: Iterable[str]) -> list[Root]:
    """What ``--against`` says: ``size:root``, or files of such and of lines of checkpoints.

    Raises:
        Trouble: one is neither.
    """
    roots: list[Root] = []
    for text in texts:
        lines = [text.encode()] if re.fullmatch(r"[0-9]{1,15}:[0-9a-f]{64}", text) else None
        for line in lines or _bytes_of(Path(text), "what was kept").splitlines():
            if line.strip():
                roots.append(_kept_root(line.strip(), text))
    return sorted(roots, key=lambda root: root.size)


def _kept_root(line: bytes, source: str) -> Root:
    if re.fullmatch(rb"[0-9]{1,15}:[0-9a-f]{64}", line):
        size, _, root = line.decode().partition(":")
        return Root(int(size), root)
    try:
        record = record_of(line, "checkpoint")
    except Malformed as error:
        text = f"{source} holds a line that {error}: one line of a checkpoint, or size:root, is wanted"
        raise Trouble(text) from None
    return Root(int(str(record["size"])), str(record["root"]), str(record["host_id"]), line)


@dataclass(frozen=True)
class Question:
    """What is asked of a log.

    Attributes:
        keys: from outside; None: those in the directory.
        roots: kept elsewhere, ascending.
        host_id: whose log it must be; ``""``: whose it says.
        since: a record's number, or a time (µs); begin with the segment that holds it. None: with the first.
        since_time: whether ``since`` is a time.
        workers: processes that read a large log.
    """

    keys: Given | None = None
    roots: Sequence[Root] = ()
    host_id: str = ""
    since: int | None = None
    since_time: bool = False
    workers: int = 1


class Reading:
    """One reading of one log, from its first segment to its last."""

    def __init__(self, directory: Path, question: Question) -> None:
        self.directory, self.question = directory, question
        self.report = Report(str(directory))
        # Before the segments, which only grow: what these say is in the log by then.
        self.files = {name: self._file(name) for name in ("keys.json", "checkpoint.json", "cut.json")}
        self.segments = segments_of(directory)
        if self._file("cut.json") != self.files["cut.json"]:
            raise FileNotFoundError(2, "retention removed segments meanwhile", str(directory))
        self.want, self.tree = 1, Tree()
        self.head: str | None = NOTHING
        self.whole = True
        """The tree is that of all records, and nothing was found in the chain."""
        self.known = True
        """The tree is that of all records, as they are here."""
        self.keys: list[Key] = []
        self.host_id = ""
        self.marks: dict[tuple[int, bytes], tuple[str, str]] = {}
        """Lines that must be records of the log, by number and line: what it is if they are not, and who says so."""
        self.roots = deque(question.roots)
        self.sealed = 0
        self.first = 1
        self.segment = Segment(0, directory, 0)
        self.offset = 0
        self.before = (0, "", 0)
        """Number, segment and offset of the line before."""
        self.passed: dict[int, str] = {}
        """Hashes of lines that stand elsewhere than they should, by number."""
        self.named: set[int] = set()
        self.gap = False
        self.searches = 0

    def _file(self, name: str) -> bytes | None:
        try:
            return (self.directory / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Trouble(f"cannot read {self.directory / name}: {error.strerror or error}") from None

    def find(self, name: str, record: int, text: str, segment: str = "", offset: int | None = None) -> None:
        """Say a finding; here unless said otherwise."""
        self.report.add(
            name, record, segment or self.segment.path.name, self.offset if offset is None else offset, text
        )
        if len(self.named) < NAMED:
            self.named.add(record)

    # Before the first record.

    def run(self) -> Report:
        """Read all of it."""
        if not self.segments and not any(self.files.values()):
            raise Trouble(f"there is no audit log in {self.directory}")
        listed = self._listed_keys()
        self._begin(listed)
        self._judge_asked_host()
        self._mark_checkpoint()
        for root in self.roots:
            if root.line and root.size + 1 >= self.first:
                self.marks[root.size + 1, root.line] = ("forked", "a checkpoint kept elsewhere")
        for segment, start, until, done in ahead(self._plan(), [r.size for r in self.roots], self.question.workers):
            if start == 0:
                self._enter(segment)
            self._part(segment, until, done)
        self._end(listed)
        return self.report.settled()

    def _listed_keys(self) -> list[Key]:
        raw = self.files["keys.json"]
        if raw is None:
            return []
        try:
            listed = decode(raw.removesuffix(b"\n"))
            keys = chain_of(listed.get("keys"))
        except Malformed as error:
            self.find("malformed", 0, f"keys.json {error}", "keys.json", 0)
        except Wrong as error:
            self.find(error.name, 0, f"keys.json: {error}", "keys.json", 0)
        else:
            if listed.get("host_id") != keys[0].host_id:
                self.find("wrong_host", 0, "keys.json is of another host than its keys", "keys.json", 0)
            return keys
        return []

    def _begin(self, listed: Sequence[Key]) -> None:
        if (raw := self.files["cut.json"]) is not None:
            try:
                self._begin_after(raw)
            except (Malformed, Wrong) as error:
                self.find("begins_late", 0, f"cut.json does not vouch for where the log begins: {error}", "cut.json", 0)
        first = self.segments[0] if self.segments else None
        if self.question.since is not None and self._begin_since(self.question.since, listed):
            return
        if first is not None and first.number != 1 and not self.marks:
            self._begin_somewhere(first, listed)
            text = "the log begins here, and no cut.json vouches for that"
            self.find("begins_late", self.want, text, first.path.name, 0)

    def _begin_after(self, raw: bytes) -> None:
        line = raw.removesuffix(b"\n")
        cut = record_of(line, "cut")
        keys = chain_of(cut["keys"])
        judge_signature(cut, "cut", keys)
        first, number, kept, nodes = cut["first"], cut["n"], cut["segment"], cut["nodes"]
        if not (isinstance(first, int) and isinstance(number, int) and isinstance(kept, int)):
            raise Malformed("has no numbers")
        tree = tree_of(first - 1, [str(node) for node in nodes]) if isinstance(nodes, list) else None
        if tree is None or tree.root() != cut["root"]:
            raise Malformed("has nodes that are not those of its root")
        if cut["host_id"] != keys[0].host_id:
            raise Malformed("is of another host than its keys")
        self.want = self.first = first
        self.head, self.tree, self.host_id = str(cut["head"]), tree, keys[0].host_id
        self.keys = [key for key in keys if key.n < first]
        self.marks[number, line] = ("begins_late", "cut.json")
        self.segments = [segment for segment in self.segments if segment.number >= kept]
        self.report.notes.append(f"retention removed records 1 to {first - 1}: history begins at record {first}")
        if not self.segments or self.segments[0].number != kept:
            there = self.segments[0].path.name if self.segments else "nothing"
            self.find("begins_late", first, f"cut.json vouches for segment {kept}; there is {there}", "cut.json", 0)
            if self.segments:
                self.gap = True

    def _begin_somewhere(self, segment: Segment, listed: Sequence[Key]) -> None:
        with segment.open() as stream:
            raw = stream.readline(LONGEST + 1)
        try:
            record = record_of(raw.removesuffix(b"\n"))
            self.want, self.head = int(str(record["n"])), str(record["prev"])
        except Malformed:
            record, self.head = {}, None
        nodes = record.get("nodes")
        tree = tree_of(self.want - 1, [str(node) for node in nodes]) if isinstance(nodes, list) else None
        self.first, self.whole, self.known = self.want, tree is not None, tree is not None
        self.tree = tree or self.tree
        self.keys = [key for key in listed if key.n < self.want]
        self.host_id = listed[0].host_id if listed else ""

    def _begin_since(self, since: int, listed: Sequence[Key]) -> bool:
        """Begin with the last segment that begins at or before a record or a time; False where that is the first."""
        if not listed:
            raise Trouble(
                "--since begins in the middle of the log and takes the keys so far from keys.json: none there"
            )
        chosen = 0
        for place, segment in enumerate(self.segments):
            with segment.open() as stream:
                raw = stream.readline(LONGEST + 1)
            try:
                value = record_of(raw.removesuffix(b"\n"))["ts" if self.question.since_time else "n"]
            except Malformed:
                continue
            if isinstance(value, int) and value <= since:
                chosen = place
        if not chosen:
            return False
        self.segments = self.segments[chosen:]
        self.marks.clear()
        self._begin_somewhere(self.segments[0], listed)
        self.report.notes.append(
            f"checked from record {self.want} on, the first of {self.segments[0].path.name}, and not what comes before"
        )
        return True

    def _mark_checkpoint(self) -> None:
        if (raw := self.files["checkpoint.json"]) is None:
            return
        try:
            number = int(str(record_of(raw.removesuffix(b"\n"), "checkpoint")["n"]))
        except Malformed as error:
            self.find("malformed", 0, f"checkpoint.json {error}", "checkpoint.json", 0)
            return
        if number >= self.first:
            self.marks[number, raw.removesuffix(b"\n")] = ("forked", "checkpoint.json")

    def _plan(self) -> Iterator[tuple[Segment, int, int | None]]:
        for segment in self.segments:
            starts = [0] if segment.packed else list(range(0, max(segment.size, 1), RANGE))
            yield from ((segment, s, e) for s, e in zip(starts, [*starts[1:], None], strict=True))

    # Segments, and the stretches in them.

    def _enter(self, segment: Segment) -> None:
        previous, self.segment, self.offset = self.segment.number, segment, 0
        if previous and segment.number != previous + 1:
            missing = f"segment {previous + 1}" if segment.number == previous + 2 else f"{previous + 1} and more"
            self.find("wrong_segment", self.want, f"before this one {missing} is missing")
            self.gap, self.whole = True, False
        last = segment is self.segments[-1]
        with segment.open() as stream:
            if stream.read(1):
                return
        if last:
            self.find("torn", self.want, "holds nothing yet")
        else:
            self.find("wrong_segment", self.want, "holds nothing, not even its first record")

    def _part(self, segment: Segment, until: int | None, done: Summary | None) -> None:
        fits = done is not None and done[:3] == (self.offset, self.want, self.head)
        source: Iterable[Stretch] | None = done[3] if done is not None and fits else None
        while True:
            with segment.open(self.offset) if source is None else io.BytesIO() as stream:
                sizes = [root.size for root in self.roots]
                found = source or stretches(stream, self.offset, self.want, self.head, until=until, sizes=sizes)
                if not self._follow(found):
                    return
            source = None

    def _follow(self, found: Iterable[Stretch]) -> bool:
        """Take stretches up to a line that does not fit; whether there was one."""
        for stretch in found:
            for level, node in stretch.nodes:
                self.tree.add(node, level)
            if stretch.before >= 0:
                self.before = (stretch.want - 1, self.segment.path.name, stretch.before)
            self.gap = self.gap and stretch.want == self.want
            self.want, self.head, self.offset = stretch.want, stretch.head, stretch.offset
            self._compare_roots()
            if stretch.raw is not None and stretch.record is None:
                self._irregular(stretch.raw)
                return True
            if stretch.raw is not None and stretch.record is not None:
                self._accept(stretch.record, stretch.raw[:-1])
        return False

    def _compare_roots(self) -> None:
        while self.roots and self.roots[0].size < self.want:
            kept = self.roots.popleft()
            if kept.host_id and self.host_id and kept.host_id != self.host_id:
                self.find("wrong_host", kept.size, f"a root kept elsewhere is of the host {kept.host_id[:60]}")
            elif kept.size < self.first - 1 or not self.known:
                self.report.notes.append(f"not checked: the root over {kept.size} records, as history begins later")
            elif kept.size != self.want - 1 or self.tree.root() != kept.root:
                self.find("forked", kept.size, f"the root over {kept.size} records is not the one kept elsewhere")

    # Records that fit.

    def _accept(self, record: Record, line: bytes) -> None:
        kind = record["kind"]
        self.marks.pop((self.want, line), None)
        wanted = ("genesis" if self.segment.number == 1 else "segment") if self.offset == 0 else ""
        if wanted and (kind != wanted or record["segment"] != self.segment.number):
            self.find("wrong_segment", self.want, f"the first record is not the {wanted} of this segment")
        elif not wanted and kind in {"genesis", "segment"}:
            self.find("wrong_segment", self.want, f"a {kind} stands in the middle of a segment")
        if kind not in STRUCTURAL:
            return
        self._judge_host(str(record["host_id"]))
        try:
            if kind == "checkpoint":
                self._judge_checkpoint(record)
            elif kind == "segment" and self.whole:
                self._judge_nodes(record)
            elif kind == "genesis" and self.want == 1:
                self.keys = [key_of(record, line, None)]
            elif kind == "key" and self.keys:
                self.keys.append(key_of(record, line, self.keys[-1]))
            elif kind == "cut":
                judge_signature(record, "cut", self.keys)
                self._judge_cut_keys(chain_of(record["keys"]))
        except Wrong as error:
            self.find(error.name, self.want, str(error))

    def _judge_host(self, host_id: str) -> None:
        if not self.host_id:
            self.host_id = host_id
            self._judge_asked_host()
        elif host_id != self.host_id:
            self.find("wrong_host", self.want, f"is of the host {host_id[:60]}, not of {self.host_id[:60]}")

    def _judge_asked_host(self) -> None:
        asked = self.question.host_id
        if asked and self.host_id and asked != self.host_id:
            self.find("wrong_host", self.want, f"this is the log of the host {self.host_id[:60]}, not of {asked[:60]}")

    def _judge_nodes(self, record: Record) -> None:
        if record.get("nodes", []) != self.tree.hashes():
            raise Wrong("bad_checkpoint", "its nodes are not the tree over the records before it")

    def _judge_checkpoint(self, record: Record) -> None:
        judge_signature(record, "checkpoint", self.keys)
        self.sealed = self.want
        if record["size"] != self.want - 1 or record["head"] != record["prev"]:
            raise Wrong("bad_checkpoint", f"speaks of {record['size']} records, or of another line than the one before")
        if self.whole and record["root"] != self.tree.root():
            raise Wrong("bad_checkpoint", f"its root is not that of the {self.want - 1} records before it")

    def _judge_cut_keys(self, keys: Sequence[Key]) -> None:
        own = {key.n: key.line for key in self.keys}
        if [key.line for key in keys if key.n in own] != [own[key.n] for key in self.keys]:
            raise Wrong("wrong_key", "the keys of the cut are not those of the log")

    # Records that do not.

    def _irregular(self, raw: bytes) -> None:
        if len(raw) > LONGEST or not raw.endswith(b"\n"):
            self._endless()
            return
        line, end = raw[:-1], self.offset + len(raw)
        try:
            record = record_of(line)
        except Malformed as error:
            self._unreadable(sha256(line).hexdigest(), leaf_of(line), end, str(error))
            return
        self._diagnose(record, line, Seen(int(str(record["n"])), str(record["prev"]), sha256(line).hexdigest()), end)

    def _endless(self) -> None:
        """A line that is too long, or the end of a segment in the middle of one."""
        line, leaf, end, part = sha256(), sha256(b"\x00"), self.offset, b""
        with self.segment.open(self.offset) as stream:
            while not part.endswith(b"\n") and (part := stream.readline(LONGEST)):
                line.update(part.removesuffix(b"\n"))
                leaf.update(part.removesuffix(b"\n"))
                end, whole = end + len(part), part.endswith(b"\n")
        if whole:
            self._unreadable(line.hexdigest(), leaf.digest(), end, f"has more than {LONGEST} bytes")
            return
        if self.segment is self.segments[-1]:
            text = f"the log ends in the middle of a line, after {end - self.offset} bytes of it"
            self.find("torn", self.want, text)
        else:
            self.find("malformed", self.want, "the segment ends in the middle of this line")
            self.whole, self.gap = False, True
        self.offset = end

    def _unreadable(self, own: str, leaf: bytes, end: int, reason: str) -> None:
        self.find("malformed", self.want, f"the line {reason}")
        after = self._next(end)
        self.whole = False
        if after is not None and after.n == self.want:
            self.offset = end  # it took nobody's place
        else:
            self._take(leaf, own if after is not None and after.prev == own else None, end)

    def _diagnose(self, record: Record, line: bytes, seen: Seen, end: int) -> None:
        """A record with another number or another ``prev`` than expected: say which, and go on from what is there."""
        number, want, after = seen.n or 0, self.want, self._next(end)
        while self.gap is False and number > want and want in self.passed:
            self.head, want = self.passed.pop(want), want + 1
            self.want = want
        if self.gap and number >= want:
            self.want, self.head, self.gap = number, None, False
        elif number == want and self.head in {None, seen.prev}:
            self.head = seen.prev
        elif number == want:
            self._wrong_prev(record, line, seen, after, end)
        elif seen.prev == self.head and after is not None and after.prev != seen.hash:
            self._say("edited", want, f"calls itself {number}, in the place of {want}")
            mended = sha256(line.replace(b'"n":%d,' % number, b'"n":%d,' % want, 1)).hexdigest()
            self._take(leaf_of(line), mended if mended == after.prev else None, end)
        elif number > want:
            self._too_early(line, seen, after, end)
        else:
            self._too_late(line, seen, after, end)

    def _say(self, name: str, number: int, text: str) -> None:
        self.whole = False
        if number not in self.named:
            self.find(name, number, text)

    def _wrong_prev(self, record: Record, line: bytes, seen: Seen, after: Seen | None, end: int) -> None:
        want, head = self.want, self.head or ""
        if self._comes_later(end, head):
            self._say("inserted", want, f"stands before the record {want} that follows the one before")
            self.offset = end
            return
        mended = sha256(line.replace(seen.prev.encode(), head.encode(), 1)).hexdigest()
        own = want == self.first or (after is not None and after.prev not in {seen.hash, ""} and after.prev == mended)
        if after is None and str(record["kind"]) in STRUCTURAL and "sig" in record:
            try:
                judge_signature(record, str(record["kind"]), self.keys)
            except (Wrong, KeyError):
                own = True
        if own:
            late = self.first > 1 and want == self.first
            self._say("begins_late" if late else "edited", want, "its prev is not the hash of the record before")
            self._take(leaf_of(line), mended if after is not None and after.prev == mended else None, end)
            return
        self.whole = False
        if want - 1 not in self.named:
            _, segment, offset = self.before
            self.find("edited", want - 1, f"its hash is not the one record {want} names", segment, offset)
        self.head = seen.prev

    def _too_early(self, line: bytes, seen: Seen, after: Seen | None, end: int) -> None:
        want, number = self.want, seen.n or 0
        again = after is not None and after.n == want
        if again or self._comes_later(end, None):
            self._say("reordered", want, f"record {number} stands here, and {want} comes later")
        else:
            rest = f"records {want} to {number - 1} are" if number > want + 1 else f"record {want} is"
            self._say("deleted", want, f"{rest} missing")
        if again:
            self._pass(seen, after, end)
        elif after is not None and after.n == want + 1 and number != want + 1:
            self._remember(number, seen.hash)
            self._take(leaf_of(line), None, end)
        else:
            self.want, self.head = number, seen.prev

    def _too_late(self, line: bytes, seen: Seen, after: Seen | None, end: int) -> None:
        want, number = self.want, seen.n or 0
        last, segment, offset = self.before
        rivals = number == want - 1 == last and self.head not in {seen.hash, seen.prev} and after is not None
        if rivals and after is not None and after.prev == seen.hash:
            self.whole = False
            if number not in self.named:
                text = f"stands before the record {number} that the next one follows"
                self.find("inserted", number, text, segment, offset)
            self.head, self.offset = seen.hash, end
        else:
            if number not in self.named:
                self._say("inserted", want, f"record {number} stands here{' again' if seen.hash == self.head else ''}")
            self.whole = False
            if after is not None and after.n == want + 1:
                self._take(leaf_of(line), self.passed.pop(want, None), end)
            else:
                self._pass(seen, after, end)

    def _pass(self, seen: Seen, after: Seen | None, end: int) -> None:
        """Go on after a line that takes nobody's place, though the next one may follow it."""
        self._remember(seen.n or 0, seen.hash)
        self.offset = end
        if after is not None and after.prev == seen.hash:
            self.head = seen.hash

    def _remember(self, number: int, own: str) -> None:
        if len(self.passed) < NAMED:
            self.passed[number] = own

    def _take(self, leaf: bytes, head: str | None, end: int) -> None:
        """Let a line be the record expected here."""
        self.tree.add(leaf)
        self.before = (self.want, self.segment.path.name, self.offset)
        self.want, self.head, self.offset = self.want + 1, head, end

    def _next(self, offset: int) -> Seen | None:
        with self.segment.open(offset) as stream:
            if raw := stream.readline(LONGEST + 1):
                return _glance(raw)
        for segment in self.segments:
            if segment.number == self.segment.number + 1:
                with segment.open() as stream:
                    return _glance(stream.readline(LONGEST + 1))
        return None

    def _comes_later(self, offset: int, prev: str | None) -> bool:
        """Whether the record expected here comes later in the segment."""
        self.searches += 1
        if self.searches > SEARCHED:
            return False
        mark = b'"n":%d,' % self.want
        with self.segment.open(offset) as stream:
            while raw := stream.readline(LONGEST + 1):
                seen = _glance(raw) if mark in raw else None
                if seen is not None and seen.n == self.want and prev in {None, seen.prev}:
                    return True
        return False

    # After the last record.

    def _end(self, listed: Sequence[Key]) -> None:
        last, report = self.want - 1, self.report
        for (number, _), (name, file) in sorted(self.marks.items()):
            if number > last:
                self.find("truncated", self.want, f"the log ends at record {last}; {file} is its record {number}")
            else:
                self.find(name, number, f"{file} is not the log's record {number}")
        for kept in (kept for kept in self.roots if not kept.line):
            text = f"the log ends at record {last}; a root kept elsewhere is over {kept.size}"
            self.find("truncated", self.want, text)
        try:
            if listed:
                Given(tuple(listed)).judge(self.keys, last)
        except Wrong as error:
            name = "truncated" if error.name == "truncated" else "wrong_key"
            self.find(name, error.record or listed[0].n, f"keys.json: {error}", "keys.json", 0)
        try:
            if self.question.keys is not None:
                self.question.keys.judge(self.keys, last)
            else:
                report.notes.append(
                    "the keys were taken from the log itself: whoever could write it could replace them. "
                    "Keep a copy of keys.json elsewhere and give it with --keys"
                )
        except Wrong as error:
            self.find(error.name, error.record or self.first, str(error))
        unsealed = last - max(self.sealed, self.first - 1)
        if unsealed > 0:
            report.notes.append(
                f"unsealed: {unsealed} records come after the last checkpoint. An edit there is found by the chain "
                f"alone, and that the last ones were removed is not found at all"
            )
        root = {"root": f"{last}:{self.tree.root()}"} if self.known and self.whole else {}
        names = ", ".join(key.id for key in self.keys)
        report.facts.update(
            {"host_id": self.host_id, "first": self.first, "last": last, "sealed": self.sealed, "keys": names, **root}
        )


Part = tuple[Segment, int, int | None]


def ahead(
    plan: Iterable[Part], sizes: Sequence[int], workers: int
) -> Iterator[tuple[Segment, int, int | None, Summary | None]]:
    """The parts of a log in their order, with what workers say of them where it is large enough to have some."""
    parts = list(plan)
    total = sum(segment.size for segment, start, _ in parts if start == 0)
    if workers < 2 or total < WORTH_WORKERS:
        yield from ((*part, None) for part in parts)
        return
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(workers) as pool:
        waiting: deque[tuple[Part, Future[Summary | None]]] = deque()
        for part in parts:
            waiting.append((part, pool.submit(summary_of, *part, sizes)))
            if len(waiting) > 2 * workers:
                done, future = waiting.popleft()
                yield (*done, future.result())
        for done, future in waiting:
            yield (*done, future.result())


def verify(directory: Path, question: Question | None = None) -> Report:
    """Check a log.

    Args:
        directory: with its segments.
        question: what to hold it against; None: only itself.

    Returns:
        What was found.

    Raises:
        Trouble: there is nothing that can be read, or the question was wrong.
    """
    for tried in range(3):
        try:
            return Reading(directory, question or Question()).run()
        except FileNotFoundError as error:  # retention or compression took a segment meanwhile
            if tried == 2:
                raise Trouble(f"{error.filename} went away while it was read") from None
    raise Trouble("the log changes faster than it can be read")


# ---------------------------------------------------------------------------------------------- receipts and proofs

RECEIPT = _members(
    "type:str v:int host_id:str run:str records:objects checkpoint:str keys:objects args:str args_salt:str result:str "
    "result_salt:str events_salt:str events:strs key:str sig:str"
)
PROOF = _members("type:str v:int host_id:str checkpoint:str first:object proof:strs keys:objects")
MAY_LACK = {"args", "args_salt", "result", "result_salt", "events_salt", "events"}


def check_receipt(raw: bytes, question: Question | None = None, about: str = "receipt") -> Report:
    """Check a receipt: that these records of a run are in a log, and that the texts in it are those of the run.

    Args:
        raw: bytes of the file.
        question: keys and host to hold it against.
        about: what to call it.

    Returns:
        What was found. Its facts are those of the run.
    """
    return _check(raw, question or Question(), about, _judge_receipt)


def check_proof(raw: bytes, question: Question | None = None, about: str = "proof") -> Report:
    """Check a proof that a later log begins with the whole of an earlier one.

    Args:
        raw: bytes of the file.
        question: keys, host, and the roots that the earlier one has to be one of.
        about: what to call it.

    Returns:
        What was found.
    """
    return _check(raw, question or Question(), about, _judge_proof)


def _check(raw: bytes, question: Question, about: str, judge: Callable[[Record, Report, Question], None]) -> Report:
    report = Report(about)
    try:
        judge(decode(raw.removesuffix(b"\n")), report, question)
    except Malformed as error:
        report.add("malformed", 0, "", 0, f"the file {error}")
    except Wrong as error:
        report.add(error.name, 0, "", 0, str(error))
    if question.keys is None:
        report.notes.append("the keys were taken from the file itself: give those of the host with --keys")
    return report


def _shaped(file: Record, members: Mapping[str, str], kind: str) -> None:
    for name, wanted in members.items():
        if not _is(file[name], wanted) if name in file else name not in MAY_LACK:
            raise Malformed(f"has no {name}, or one of the wrong type")
    if file["type"] != kind or file["v"] != 1:
        raise Malformed(f"is no {kind} of version 1")


def _sealing(file: Record, report: Report, question: Question) -> tuple[list[Key], int, str]:
    """The keys and the checkpoint of a receipt or a proof, as (keys, size, root)."""
    keys = chain_of(file["keys"])
    line = str(file["checkpoint"]).encode()
    checkpoint = record_of(line, "checkpoint")
    number, size = int(str(checkpoint["n"])), int(str(checkpoint["size"]))
    judge_signature(checkpoint, "checkpoint", [key for key in keys if key.n < number])
    if size != number - 1 or checkpoint["head"] != checkpoint["prev"]:
        raise Wrong("bad_checkpoint", "the checkpoint does not speak of all records before it")
    hosts = {str(file["host_id"]), str(checkpoint["host_id"]), keys[0].host_id, question.host_id or keys[0].host_id}
    if len(hosts) > 1:
        raise Wrong("wrong_host", f"speaks of several hosts: {', '.join(sorted(hosts))[:200]}")
    if question.keys is not None:
        given = question.keys
        # A receipt speaks of the keys up to its checkpoint: later ones that were given are not missing.
        Given(tuple(key for key in given.chain if key.n <= keys[-1].n), given.one).judge(keys, keys[-1].n)
        if given.chain and given.chain[0].n > keys[-1].n:
            raise Wrong("unknown_key", "no key in the file is one of those given")
    root = str(checkpoint["root"])
    report.facts.update({"host_id": keys[0].host_id, "checkpoint": number, "root": f"{size}:{root}"})
    return keys, size, root


def _hashes(texts: object) -> list[bytes]:
    found = [str(text) for text in texts] if isinstance(texts, list) else [""]
    if not all(HASH.fullmatch(text) for text in found):
        raise Malformed("has a hash that is none")
    return [bytes.fromhex(text) for text in found]


def _judge_receipt(receipt: Record, report: Report, question: Question) -> None:
    _shaped(receipt, RECEIPT, "trunnion-audit-receipt")
    keys, size, root = _sealing(receipt, report, question)
    judge_signature(receipt, "receipt", keys)
    records: dict[str, Record] = {}
    last = 0
    for entry in receipt["records"] if isinstance(receipt["records"], list) else []:
        line, number = str(entry.get("line")).encode(), entry.get("n")
        record = record_of(line)
        kind = str(record["kind"])
        if record["n"] != number or record.get("run") != receipt["run"] or kind not in {"intent", "outcome"}:
            raise Wrong("bad_record", f"the record {number} is not one of the run {receipt['run']}")
        if not isinstance(number, int) or number <= last or kind in records:
            raise Wrong("bad_record", f"the record {number} is there twice, or not in order")
        if root_by_inclusion(leaf_of(line), number - 1, size, _hashes(entry.get("proof"))) != root:
            raise Wrong("bad_proof", f"the proof of record {number} does not lead to the root of the checkpoint")
        records[kind], last = record, number
    if not records:
        raise Wrong("bad_record", "there is no record in it")
    _judge_texts(receipt, records)
    said = {**records.get("intent", {}), **records.get("outcome", {})}
    report.facts.update({name: said[name] for name in ("run", "principal", "target", "status") if name in said})
    report.facts["records"] = ", ".join(f"{kind} {record['n']}" for kind, record in records.items())
    report.facts["disclosed"] = ", ".join(name for name in ("args", "result", "events") if name in receipt)


def _judge_texts(receipt: Record, records: Mapping[str, Record]) -> None:
    for name, kind in (("args", "intent"), ("result", "outcome"), ("events", "outcome")):
        if name not in receipt:
            continue
        salt, commitment = receipt.get(f"{name}_salt"), records.get(kind, {}).get(f"{name}_commit")
        text = receipt[name]
        whole = "".join(f"{line}\n" for line in text) if isinstance(text, list) else str(text)
        if not isinstance(salt, str) or not HASH.fullmatch(salt):
            raise Wrong("bad_commitment", f"the {name} are given without their salt")
        if sha256(bytes.fromhex(salt) + whole.encode()).hexdigest() != commitment:
            raise Wrong("bad_commitment", f"the {name} are not those of the record")


def _judge_proof(proof: Record, report: Report, question: Question) -> None:
    _shaped(proof, PROOF, "trunnion-audit-consistency")
    _, size, root = _sealing(proof, report, question)
    first = proof["first"]
    earlier, before = (first.get("root"), first.get("size")) if isinstance(first, dict) else (None, None)
    if not isinstance(before, int) or not isinstance(earlier, str) or not HASH.fullmatch(earlier):
        raise Malformed("does not say what the earlier tree is")
    if question.roots and not any((kept.size, kept.root) == (before, earlier) for kept in question.roots):
        raise Wrong("forked", f"the root over {before} records is not one that was kept elsewhere")
    if not HASH.fullmatch(root) or not is_consistent((before, earlier), (size, root), _hashes(proof["proof"])):
        raise Wrong("bad_proof", f"it does not show that the log of {size} records begins with that of {before}")
    report.facts.update({"earlier": f"{before}:{earlier}"})


# ----------------------------------------------------------------------------------------------- the command line


def question_of(
    *,
    keys: str | None = None,
    against: Iterable[str] = (),
    host_id: str = "",
    since: str | None = None,
    workers: int | None = None,
) -> Question:
    """What the options of the command line ask.

    Args:
        keys: ``--keys``.
        against: each ``--against``.
        host_id: ``--host``.
        since: ``--since``.
        workers: ``--workers``; None: one for each processor, four at most.

    Raises:
        Trouble: one of them says nothing.
    """
    number, is_time = _since(since) if since is not None else (None, False)
    given = given_keys(keys) if keys is not None else None
    processes = workers or min(4, len(os.sched_getaffinity(0)))
    return Question(given, kept_roots(against), host_id, number, is_time, processes)


def _since(text: str) -> tuple[int, bool]:
    if text.isascii() and text.isdigit():
        return int(text), False
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Trouble(f"--since {text} is neither the number of a record nor a time like 2026-01-31T12:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000), True


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="verify.py", description="Check an audit log, or `receipt FILE`, or `proof FILE`."
    )
    parser.add_argument("what", nargs="+", metavar="DIR", help="directory of the log; or: receipt FILE, proof FILE")
    parser.add_argument(
        "--keys", metavar="FILE|ID", help="keys from outside: a copy of keys.json, a public key, its id"
    )
    parser.add_argument(
        "--against", action="append", default=[], metavar="FILE|SIZE:ROOT", help="a root kept elsewhere, or many"
    )
    parser.add_argument("--host", default="", metavar="ID", help="the host whose log it must be")
    parser.add_argument(
        "--since", metavar="N|TIME", help="begin with the segment that holds this record, or time (UTC)"
    )
    parser.add_argument("--workers", type=int, metavar="COUNT", help="processes that read a large log")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args(argv)


def answer(what: Sequence[str], question: Question) -> list[Report]:
    """What the command line asks for: ``DIR …``, ``receipt FILE …`` or ``proof FILE …``.

    Raises:
        Trouble: it cannot be read.
    """
    checks = {"receipt": check_receipt, "proof": check_proof}
    if what[0] in checks and len(what) > 1:
        check = checks[what[0]]
        return [check(_bytes_of(Path(name), f"the {what[0]}"), question, name) for name in what[1:]]
    return [verify(Path(name), question) for name in what]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _arguments(sys.argv[1:] if argv is None else argv)
    try:
        question = question_of(
            keys=options.keys,
            against=options.against,
            host_id=options.host,
            since=options.since,
            workers=options.workers,
        )
        reports = answer(options.what, question)
    except Trouble as trouble:
        sys.stderr.write(f"verify: {trouble}\n")
        return 2
    for report in reports:
        lines = [json.dumps(report.as_json(), ensure_ascii=True)] if options.json else report.lines()
        sys.stdout.writelines(f"{line}\n" for line in lines)
    return int(any(report.verdict != "intact" for report in reports))


if __name__ == "__main__":
    sys.exit(main())
