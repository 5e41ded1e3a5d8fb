"""Retention: old segments go, and a signed record vouches for what is kept.

What is removed is read once more before: its chain has to lead to the signed checkpoint each segment ends with. So
nobody gets rid of what he did to the log by having it removed. Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from trunnion_audit.chain import Chain, State, signed_bytes
from trunnion_audit.files import SegmentFile, read_lines, remove, replace_whole, segments
from trunnion_audit.keys import KeyEntry
from trunnion_audit.records import LARGEST_LINE, Checkpoint, Cut
from trunnion_audit.recovering import CUT
from trunnion_audit.taking_up import Damaged

DAY: Final = 86_400_000_000
"""Microseconds."""


class Keep(msgspec.Struct, frozen=True):
    """What is kept; None keeps all.

    Attributes:
        age: µs since the last record of a segment.
        size: bytes of all segments.
    """

    age: int | None = None
    size: int | None = None


class Cutting(NamedTuple):
    """What is to go.

    Attributes:
        segment: the first that is kept.
        state: the chain at its beginning.
        removed: how many records go.
        reason: for people.
    """

    segment: int
    state: State
    removed: int
    reason: str


class _Head(msgspec.Struct):
    n: int
    prev: str
    ts: int
    kind: str
    segment: int = 0
    nodes: tuple[str, ...] = ()


_head = msgspec.json.Decoder(_Head).decode
_checkpoint = msgspec.json.Decoder(Checkpoint).decode
_cut = msgspec.json.Decoder(Cut).decode


def to_keep(folder: Path, keep: Keep, current: int, now: int) -> tuple[int, str] | None:
    """The first segment that is kept, and why those before it go.

    Args:
        folder: where they lie.
        keep: what is kept.
        current: the segment that grows, which always is.
        now: UTC microseconds.

    Returns:
        None where nothing is to go.

    Raises:
        OSError: they cannot be read.
        Damaged: a segment has no head that can be read.
    """
    found = segments(folder)
    closed = [each for each in found if each.number < current]
    if not closed or (keep.age is None and keep.size is None):
        return None
    sizes = [each.path.stat().st_size for each in found]
    total, first, reason = sum(sizes), closed[0].number, ""
    for place, segment in enumerate(closed):
        ended = _head_of(found[place + 1]).ts if keep.age is not None and place + 1 < len(found) else now
        if keep.age is not None and ended < now - keep.age:
            reason = f"older than {keep.age / DAY:g} days"
        elif keep.size is not None and total > keep.size:
            reason = f"more than {keep.size} bytes"
        else:
            break
        first, total = segment.number + 1, total - sizes[place]
    return (first, reason) if reason else None


def checked(folder: Path, host_id: str, first: int, reason: str, keys: Sequence[KeyEntry]) -> Cutting:
    """Go through what is to be removed, and see that it is what was signed.

    Args:
        folder: where it lies.
        host_id: whose log it is.
        first: the first segment that is kept.
        reason: why the rest goes.
        keys: those of the log.

    Raises:
        Damaged: it is not, and has to stay as it is.
        OSError: it cannot be read.
    """
    found = segments(folder)
    going = [each for each in found if each.number < first]
    kept = next((each for each in found if each.number == first), None)
    if not going or kept is None:
        raise Damaged(f"segment {first} or what comes before it is not there any more")
    head = _head_of(going[0])
    try:
        chain = Chain(host_id, State(head.n - 1, head.prev, tuple(map(bytes.fromhex, head.nodes))))
    except ValueError as error:
        raise Damaged(f"{going[0].path.name} says of the records before it what cannot be: {error}") from error
    began = chain.n
    for segment in going:
        _go_through(segment, chain, keys)
    _follows(kept, chain)
    return Cutting(first, chain.state, chain.n - began, reason)


def _go_through(segment: SegmentFile, chain: Chain, keys: Sequence[KeyEntry]) -> None:
    _follows(segment, chain)
    root, last = "", b""
    for line in read_lines(segment.path):
        root, last = chain.root if b'"kind":"checkpoint"' in line else "", line
        try:
            record = _head(line)
        except msgspec.DecodeError as error:
            raise Damaged(f"{segment.path.name}: record {chain.n + 1} is none: {error}") from error
        if not line.endswith(b"\n") or record.n != chain.n + 1 or record.prev != chain.head:
            raise Damaged(f"{segment.path.name}: record {chain.n + 1} is not the one that was written")
        chain.take(line[:-1])
    if not root or not is_sealed(last[:-1], root, chain.n - 1, keys):
        raise Damaged(f"{segment.path.name} does not end with a checkpoint that holds")


def is_sealed(line: bytes, root: str, size: int, keys: Sequence[KeyEntry]) -> bool:
    """Whether a line is a checkpoint with this root, signed by a key of the log."""
    try:
        record = _checkpoint(line)
    except msgspec.DecodeError:
        return False
    return record.kind == Checkpoint.KIND and (record.root, record.size) == (root, size) and is_signed(record, keys)


def is_signed(record: Checkpoint | Cut, keys: Sequence[KeyEntry]) -> bool:
    """Whether the signature of a record, which is not needed any more after this, is one of these keys'."""
    public = next((each.public for each in keys if each.id == record.key), None)
    signature, record.sig = record.sig, msgspec.UNSET
    if public is None or not isinstance(signature, str):
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), signed_bytes(record))
    except (ValueError, InvalidSignature):
        return False
    return True


def _follows(segment: SegmentFile, chain: Chain) -> None:
    head = _head_of(segment)
    if head.segment != segment.number or (head.n, head.prev) != (chain.n + 1, chain.head):
        raise Damaged(f"{segment.path.name} does not go on where the segment before it ends")


def _head_of(segment: SegmentFile) -> _Head:
    with segment.path.open("rb") as file:
        line = file.readline(LARGEST_LINE)
    try:
        return _head(line)
    except msgspec.DecodeError as error:
        raise Damaged(f"{segment.path.name} has no head that can be read: {error}") from error


def remove_below(folder: Path, line: bytes, segment: int, step: Callable[[str], None] = lambda _: None) -> int:
    """Say where history begins, and remove what comes before; the cut is on the disk already.

    The oldest goes first, each for good before the next, so that a crash leaves segments without a gap.

    Args:
        folder: where they lie.
        line: of the cut, with its LF.
        segment: the first that is kept.
        step: told before each step.

    Returns:
        How many segments went.
    """
    step("cut.json")
    replace_whole(folder / CUT, line)
    return _remove(folder, segment, step)


def clean(folder: Path, host_id: str, keys: Sequence[KeyEntry], step: Callable[[str], None] = lambda _: None) -> int:
    """Remove what a removal that was cut short has left; only what a signed cut of this log vouches for."""
    try:
        record = _cut((folder / CUT).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return 0
    if record.kind != Cut.KIND or record.host_id != host_id or not is_signed(record, keys):
        return 0
    return _remove(folder, record.segment, step)


def _remove(folder: Path, segment: int, step: Callable[[str], None]) -> int:
    gone = [each for each in segments(folder)[:-1] if each.number < segment]
    for each in gone:
        step(each.path.name)
        remove(each.path)
    return len(gone)
