"""Proofs out of a log: that a record is in it, and that it begins with the whole of an earlier one (RFC 6962, 2.1).

A proof is made of roots over ranges of records. They are all computed in one reading of the log, with one node for each
bit of a range's length in memory, however many records there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from trunnion_audit.files import read_lines, segments
from trunnion_audit.tree import Tree

CUT = "cut.json"


class Unprovable(Exception):
    """There is no such proof in this log; the message says why."""


class Beginning(msgspec.Struct, frozen=True):
    """Where the history of a log begins, as a ``cut`` record says it.

    Attributes:
        segment: the first one that is kept.
        first: number of its first record.
        nodes: the tree over the records before that.
    """

    segment: int = 1
    first: int = 1
    nodes: tuple[str, ...] = ()


class Range(NamedTuple):
    """Leaves from one number (from 0) up to before another."""

    start: int
    end: int


def beginning_of(folder: Path) -> Beginning:
    """Where the history of a log begins.

    Raises:
        Unprovable: it cannot be told.
    """
    try:
        return msgspec.json.decode((folder / CUT).read_bytes(), type=Beginning)
    except FileNotFoundError:
        return Beginning()
    except (OSError, msgspec.DecodeError) as error:
        raise Unprovable(f"{folder / CUT} cannot be read: {error}") from error


def lines_of(folder: Path, beginning: Beginning) -> Iterator[tuple[int, bytes]]:
    """The records that are kept, in their order: each one's number, and its line without LF.

    Raises:
        Unprovable: a segment is missing or cannot be read.
    """
    number, expected = beginning.first, beginning.segment
    try:
        for segment in segments(folder):
            if segment.number < beginning.segment:
                continue
            _expect(segment.number, expected)
            expected += 1
            for line in read_lines(segment.path):
                if line.endswith(b"\n"):  # what comes after the last whole line is still being written
                    yield number, line[:-1]
                    number += 1
    except FileNotFoundError:
        raise Unprovable(f"there is no audit log in {folder}") from None
    except OSError as error:
        raise Unprovable(f"the audit log cannot be read: {error}") from error


def _expect(number: int, expected: int) -> None:
    if number != expected:
        raise Unprovable(
            f"segment {expected} of the audit log is missing, or compressed: `trunnion audit verify` says more"
        )


def _half(size: int) -> int:
    """The largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1


def path_ranges(leaf: int, size: int) -> list[Range]:
    """The ranges whose roots are the audit path of a leaf, from the leaf upwards."""
    start, end, found = 0, size, list[Range]()
    while end - start > 1:
        middle = start + _half(end - start)
        if leaf < middle:
            found.append(Range(middle, end))
            end = middle
        else:
            found.append(Range(start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(first: int, size: int) -> list[Range]:
    """The ranges whose roots show that the tree over so many leaves begins with that over the first ones."""
    start, end, found = 0, size, list[Range]()
    while first != end:
        middle = start + _half(end - start)
        if first <= middle:
            found.append(Range(middle, end))
            end = middle
        else:
            found.append(Range(start, middle))
            start = middle
    return ([Range(start, end)] if start else []) + found[::-1]


def roots_of(lines: Iterable[tuple[int, bytes]], beginning: Beginning, ranges: Iterable[Range]) -> dict[Range, bytes]:
    """The roots over ranges of records.

    Args:
        lines: the records that are kept, by number.
        beginning: what the records before them have left.
        ranges: each as it occurs in a tree of any size.

    Raises:
        Unprovable: a range lies before the beginning of history, or beyond the end of the log.
    """
    coming = sorted(set(ranges), reverse=True)
    found: dict[Range, bytes] = {}
    growing: dict[Range, Tree] = {}
    while coming and coming[-1].start < beginning.first - 1:
        begun = coming.pop()
        growing[begun] = _left_over(begun, beginning)
    place = beginning.first - 1
    for number, line in lines:
        place = number - 1
        for ended in [each for each in growing if each.end <= place]:
            found[ended] = growing.pop(ended).root()
        while coming and coming[-1].start == place:
            growing[coming.pop()] = Tree()
        if not growing and not coming:
            return found
        for tree in growing.values():
            tree.add(line)
        place = number
    found.update({each: tree.root() for each, tree in growing.items() if each.end <= place})
    missing = [each for each in (*growing, *coming) if each not in found]
    if missing:
        raise Unprovable(f"the audit log ends at record {place}, before record {max(each.end for each in missing)}")
    return found


def _left_over(wanted: Range, beginning: Beginning) -> Tree:
    """The tree over that part of a range which is no longer kept, out of the subtrees that are."""
    kept, place, nodes = beginning.first - 1, 0, list[bytes]()
    levels = [level for level in range(kept.bit_length() - 1, -1, -1) if kept >> level & 1]
    for level, node in zip(levels, beginning.nodes, strict=True):
        if wanted.start <= place and place + (1 << level) <= wanted.end:
            nodes.append(bytes.fromhex(node))
        place += 1 << level
    try:
        return Tree(min(kept, wanted.end) - wanted.start, nodes)
    except ValueError:
        text = f"history begins at record {beginning.first}: what is asked for needs records before it"
        raise Unprovable(text) from None


class Sealed(NamedTuple):
    """A checkpoint.

    Attributes:
        size: how many records it speaks of.
        root: of the tree over them, as hex digits.
        line: without its LF.
    """

    size: int
    root: str
    line: bytes


def sealed_by(line: bytes) -> Sealed | None:
    """The checkpoint a line holds; None if it holds none."""
    if b'"kind":"checkpoint"' not in line:
        return None
    record = json.loads(line)
    return Sealed(record["size"], record["root"], line) if record["kind"] == "checkpoint" else None


def inclusion(folder: Path, numbers: Sequence[int], sealed: Sealed) -> Mapping[int, list[str]]:
    """The audit paths of records in the tree of a checkpoint.

    Args:
        folder: of the log.
        numbers: of the records.
        sealed: the checkpoint.

    Returns:
        By number, the nodes from the leaf upwards, as hex digits.

    Raises:
        Unprovable: a record is no longer kept, or the log is not what the checkpoint says.
    """
    paths = {number: path_ranges(number - 1, sealed.size) for number in numbers}
    roots = _checked(folder, [each for path in paths.values() for each in path], sealed)
    return {number: [roots[each].hex() for each in path] for number, path in paths.items()}


def consistency(folder: Path, first: int, sealed: Sealed) -> tuple[str, list[str]]:
    """The proof that the tree of a checkpoint begins with the tree over the first records.

    Args:
        folder: of the log.
        first: how many records the earlier tree has.
        sealed: the checkpoint.

    Returns:
        The root of the earlier tree, and the nodes of the proof, as hex digits.

    Raises:
        Unprovable: history begins later, or the log is not what the checkpoint says.
    """
    if not 0 < first <= sealed.size:
        raise Unprovable(f"the last checkpoint is over {sealed.size} records: there is no earlier tree over {first}")
    path, whole = consistency_ranges(first, sealed.size), Range(0, first)
    roots = _checked(folder, [*path, whole], sealed)
    return roots[whole].hex(), [roots[each].hex() for each in path]


def _checked(folder: Path, ranges: Iterable[Range], sealed: Sealed) -> dict[Range, bytes]:
    beginning, whole = beginning_of(folder), Range(0, sealed.size)
    roots = roots_of(lines_of(folder, beginning), beginning, [*ranges, whole])
    if roots[whole].hex() != sealed.root:
        text = "the audit log is not what its last checkpoint says: `trunnion audit verify` names the record"
        raise Unprovable(text)
    return roots


def proof_file(folder: Path, first: int, host_id: str, keys: Sequence[Mapping[str, str]]) -> bytes:
    """The file that shows that the log, up to its last checkpoint, begins with the whole of an earlier one.

    Args:
        folder: of the log.
        first: how many records the earlier one has.
        host_id: whose log it is.
        keys: as in ``keys.json``.

    Returns:
        The file, with its LF.

    Raises:
        Unprovable: there is no such proof.
    """
    beginning = beginning_of(folder)
    sealed: Sealed | None = None
    for _, line in lines_of(folder, beginning):
        sealed = sealed_by(line) or sealed
    if sealed is None:
        raise Unprovable("there is no checkpoint in the audit log yet")
    root, proof = consistency(folder, first, sealed)
    content = {
        "checkpoint": sealed.line.decode(),
        "first": {"root": root, "size": first},
        "host_id": host_id,
        "keys": list(keys),
        "proof": proof,
        "type": "trunnion-audit-consistency",
        "v": 1,
    }
    return msgspec.json.encode(content, order="sorted") + b"\n"
