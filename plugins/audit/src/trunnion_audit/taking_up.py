"""What the last host left: where its log ends, what of it is torn, and which intents have no outcome yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from trunnion_audit.chain import Chain, State
from trunnion_audit.files import SegmentFile, packed, read_lines, segments
from trunnion_audit.keys import KeyEntry, read_keys
from trunnion_audit.records import LARGEST_LINE

CHECKPOINT = "checkpoint.json"
CUT = "cut.json"
_KEYS = frozenset({"genesis", "key"})
_HEADS = frozenset({"genesis", "segment"})


class Damaged(Exception):
    """A log that cannot be gone on with: something was done to it that no crash does. The message says what."""


class Torn(NamedTuple):
    """The half line a crash left."""

    segment: int
    offset: int
    data: bytes


class Found(NamedTuple):
    """A log as it was found.

    Attributes:
        chain: at its end.
        segment: the last one.
        size: bytes of its whole lines.
        began: when its first record was made; 0 where it has none.
        torn: what comes after its whole lines, None where nothing does.
        intents: number and run of the intents that have no outcome, in order.
        keys: all public keys, oldest first.
        since_checkpoint: how many records come after the last checkpoint.
        ended: runs whose outcome stands in the segments that were read.
    """

    chain: Chain
    segment: int
    size: int
    began: int
    torn: Torn | None
    intents: dict[str, int]
    keys: tuple[KeyEntry, ...]
    since_checkpoint: int
    ended: frozenset[str] = frozenset()


class _Seen(msgspec.Struct):
    """As much of a record as has to be known."""

    kind: str
    n: int
    prev: str
    ts: int
    host_id: str = ""
    segment: int = 0
    nodes: tuple[str, ...] = ()
    open_intents: tuple[tuple[int, str], ...] | None = ()
    run: str = ""
    key: str = ""
    public: str = ""


_decode = msgspec.json.Decoder(_Seen).decode


def take_up(folder: Path, host_id: str) -> Found | None:
    """Read the end of a log, and what of it has to be known to go on.

    Args:
        folder: where it lies.
        host_id: whose it has to be.

    Returns:
        None where there is none yet.

    Raises:
        Damaged: it cannot be gone on with.
        KeyProblem: the list of public keys cannot be read.
        OSError: it cannot be read.
    """
    found = segments(folder)
    listed = read_keys(folder)
    if not found:
        if listed is not None:
            raise Damaged("the keys of a log are there, and none of its segments")
        return None
    numbers = sorted({each.number for each in found} | packed(folder))
    if numbers != list(range(numbers[0], numbers[-1] + 1)):
        raise Damaged(f"segments are missing between {found[0].path.name} and {found[-1].path.name}")
    if numbers[0] > _kept_from(folder):
        raise Damaged(f"segments are missing before {found[0].path.name}, and retention has not removed them")
    reading = _Reading(host_id, () if listed is None else listed.keys)
    for segment in found[_start(found) :]:
        reading.read(segment, last=segment is found[-1])
    log = reading.found()
    if log.chain.n and not log.keys:
        raise Damaged("the list of public keys is gone, and with it the beginning of the log")
    return _checked(folder, log)


class _Kept(msgspec.Struct):
    segment: int


def _kept_from(folder: Path) -> int:
    """The first segment that has to be there; it is not the first of all where retention has removed some."""
    try:
        return msgspec.json.decode((folder / CUT).read_bytes(), type=_Kept).segment
    except (FileNotFoundError, msgspec.DecodeError):
        return 1


def _start(found: Sequence[SegmentFile]) -> int:
    """Which segment to begin with: the last one that says by itself what was before it."""
    for index in range(len(found) - 1, 0, -1):
        head = next(read_lines(found[index].path), b"")
        try:
            if head.endswith(b"\n") and _decode(head).open_intents is not None:
                return index
        except msgspec.DecodeError:
            continue  # the segment is read all the same, which then says what is wrong with it
    return 0


class _Reading:
    """Reads segments in their order."""

    def __init__(self, host_id: str, keys: Sequence[KeyEntry]) -> None:
        self._host_id = host_id
        self._keys = list(keys)
        self._chain: Chain | None = None
        self._intents: dict[str, int] = {}
        self._segment = self._size = self._began = self._since = 0
        self._torn: Torn | None = None
        self._ended: set[str] = set()

    def found(self) -> Found:
        """What was read."""
        chain = self._chain or Chain(self._host_id)
        return Found(
            chain,
            self._segment,
            self._size,
            self._began,
            self._torn,
            self._intents,
            tuple(self._keys),
            self._since,
            frozenset(self._ended),
        )

    def read(self, segment: SegmentFile, *, last: bool) -> None:
        """One segment more.

        Raises:
            Damaged: it is not what the chain says.
        """
        self._segment, self._size, self._began = segment.number, 0, 0
        for line in read_lines(segment.path):
            if not line.endswith(b"\n"):
                self._torn_at(segment, line, last=last)
                return
            try:
                self._take(segment, line[:-1])
            except msgspec.DecodeError as error:
                raise self._damaged(segment, f"is no record: {error}") from error
            self._size += len(line)

    def _torn_at(self, segment: SegmentFile, line: bytes, *, last: bool) -> None:
        if not last or len(line) >= LARGEST_LINE:
            raise self._damaged(segment, "does not end")
        self._torn = Torn(segment.number, self._size, line)

    def _take(self, segment: SegmentFile, line: bytes) -> None:
        seen = _decode(line)
        if not self._size:
            self._begin(segment, seen)
        chain = self._chain
        if chain is None:
            raise self._damaged(segment, "has no record it goes on from")
        if seen.n != chain.n + 1 or seen.prev != chain.head:
            raise self._damaged(segment, f"is not the one that follows record {chain.n}")
        chain.take(line)
        self._note(seen, line)

    def _begin(self, segment: SegmentFile, seen: _Seen) -> None:
        if seen.kind not in _HEADS or seen.segment != segment.number:
            raise self._damaged(segment, "is not the head of this segment")
        if seen.host_id != self._host_id:
            raise Damaged(f"{segment.path.name} is of another host: {seen.host_id}, and this is {self._host_id}")
        self._began = seen.ts
        if self._chain is not None:
            return
        try:
            nodes = tuple(bytes.fromhex(node) for node in seen.nodes)
            self._chain = Chain(self._host_id, State(seen.n - 1, seen.prev, nodes))
        except ValueError as error:
            raise self._damaged(segment, f"says of the records before it what cannot be: {error}") from error
        self._intents = {run: number for number, run in seen.open_intents or ()}

    def _note(self, seen: _Seen, line: bytes) -> None:
        """What a record says that has to be known."""
        self._since = 0 if seen.kind == "checkpoint" else self._since + 1
        if seen.kind == "intent" and seen.run:
            self._intents[seen.run] = seen.n
        elif seen.kind in ("outcome", "missing") or (seen.kind == "refusal" and seen.run):
            self._intents.pop(seen.run, None)
            if seen.kind == "outcome":
                self._ended.add(seen.run)
        elif seen.kind in _KEYS and all(key.id != seen.key for key in self._keys):
            self._keys.append(KeyEntry(seen.key, seen.public, line.decode()))

    def _damaged(self, segment: SegmentFile, what: str) -> Damaged:
        n = self._chain.n + 1 if self._chain is not None else 1
        return Damaged(f"{segment.path.name}, byte {self._size}: record {n} {what}")


class _Known(msgspec.Struct):
    n: int


def _checked(folder: Path, found: Found) -> Found:
    """See to it that the log is at least as long as it was once.

    Raises:
        Damaged: it is not.
    """
    try:
        known = msgspec.json.decode((folder / CHECKPOINT).read_bytes(), type=_Known)
    except (FileNotFoundError, msgspec.DecodeError):
        return found
    if known.n > found.chain.n:
        raise Damaged(f"the log ends with record {found.chain.n}, and checkpoint {known.n} was written")
    return found
