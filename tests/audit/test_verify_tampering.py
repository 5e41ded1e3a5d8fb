"""Whatever is done to the lines of a log is found, and the first record concerned is named: rows O1 and O2."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from figures import SEED
from log_kit import Log, made, name_of, text_of, write

from trunnion_audit.verify import Report, verify

Figure = Callable[..., None]


def first(report: Report) -> tuple[str, int]:
    return (report.findings[0].name, report.findings[0].record) if report.findings else ("nothing", 0)


def flipped(files: dict[str, bytes], name: str, place: int, chance: random.Random) -> bytes:
    data = bytearray(files[name])
    old = data[place]
    lively = [byte for byte in b'\n\\"{},:0az\x00\xff' if byte != old]
    data[place] = old ^ (1 << chance.randrange(8)) if chance.random() < 0.7 else chance.choice(lively)
    return bytes(data)


def missed(spots: list[tuple[str, int, int]], folder: Path, seed: str) -> list[str]:
    """Spots (file, byte, record) whose flip is not found at exactly that record."""
    files, wrong = made(1000).files(), []
    write(folder, files)
    for name, place, record in spots:
        changed = flipped(files, name, place, random.Random(f"{seed}/{name}/{place}"))
        (folder / name).write_bytes(changed)
        report = verify(folder)
        if report.verdict == "intact" or first(report)[1] != record:
            wrong.append(f"{name} byte {place} (record {record}) now {changed[place]}: {report.findings[:2]}")
        (folder / name).write_bytes(files[name])
    return wrong


def spots_of(log: Log) -> list[tuple[str, int, int]]:
    found, number = [], 0
    for segment, lines in zip(log.numbers, log.segments, strict=True):
        place = 0
        for line in lines:
            number += 1
            found += [(name_of(segment), place + byte, number) for byte in range(len(line) + 1)]
            place += len(line) + 1
    return found


def test_o1_any_byte_of_any_record(tmp_path: Path, figure: Figure) -> None:
    spots = spots_of(made(1000))
    some = random.Random(SEED).sample(spots, 120) + spots[-8:]
    assert missed(some, tmp_path / "log", SEED) == []
    figure("bytes flipped", len(some))


@pytest.mark.heavy
def test_o1_every_byte_of_every_record(tmp_path: Path, figure: Figure) -> None:
    spots = spots_of(made(1000))
    parts = [spots[start::64] for start in range(64)]
    with ProcessPoolExecutor(2) as pool:
        done = pool.map(missed, parts, [tmp_path / f"log{n}" for n in range(64)], [SEED] * 64)
        assert [line for wrong in done for line in wrong] == []
    figure("bytes flipped", len(spots))


def test_o1_without_the_fault(tmp_path: Path) -> None:
    report = verify(made(1000).write(tmp_path / "log"))
    assert (report.verdict, report.findings, report.facts["last"]) == ("intact", [], 1000)
    assert not any("unsealed" in note for note in report.notes)


def files_of(log: Log, placed: list[tuple[int, bytes]]) -> dict[str, bytes]:
    """The files of a log with other lines, each with the number of its segment."""
    own = {name_of(number): b"" for number in log.numbers}
    for segment, line in placed:
        own[name_of(segment)] += line + b"\n"
    return {**log.files(), **own}


def placed_in(log: Log) -> list[tuple[int, bytes]]:
    return [(number, line) for number, lines in zip(log.numbers, log.segments, strict=True) for line in lines]


def test_o2_deleted(tmp_path: Path, figure: Figure) -> None:
    log = made(60, every=7, segments=2)
    for number in range(1, log.size + 1):
        placed = placed_in(log)
        del placed[number - 1]
        report = verify(write(tmp_path / "log", files_of(log, placed)))
        assert first(report) == ("truncated" if number == log.size else "deleted", number), report.findings
    figure("records deleted", log.size)


def test_o2_inserted_or_duplicated(tmp_path: Path, figure: Figure) -> None:
    log = made(18, every=5, segments=2)
    tried = 0
    for copied in range(1, log.size + 1):
        for place in range(1, log.size + 2):  # the copy becomes the line with this number
            before, after = max(0, place - 2), min(place - 1, log.size - 1)
            for segment in {placed_in(log)[before][0], placed_in(log)[after][0]}:
                placed = placed_in(log)
                placed.insert(place - 1, (segment, placed[copied - 1][1]))
                report = verify(write(tmp_path / "log", files_of(log, placed)))
                expected = copied + 1 if copied in (place, place - 1) else place
                if first(report)[0] == "wrong_segment":  # the head of a segment, at the end of the one before
                    expected = place
                assert first(report)[1] == expected, (copied, place, segment, report.findings)
                assert first(report)[0] in ("inserted", "reordered", "wrong_segment"), report.findings
                tried += 1
    figure("pairs", tried)


def test_o2_swapped(tmp_path: Path, figure: Figure) -> None:
    log = made(18, every=5, segments=2)
    placed, tried = placed_in(log), 0
    for one in range(1, log.size + 1):
        for other in range(one + 1, log.size + 1):
            (here, left), (there, right) = placed[one - 1], placed[other - 1]
            changed = placed_in(log)
            changed[one - 1], changed[other - 1] = (here, right), (there, left)
            report = verify(write(tmp_path / "log", files_of(log, changed)))
            assert first(report) == ("reordered" if here == there or other == one + 1 else "deleted", one), (
                other,
                report.findings,
            )
            tried += 1
    figure("pairs", tried)


def test_o2_without_the_fault(tmp_path: Path) -> None:
    assert verify(made(18, every=5, segments=2).write(tmp_path / "log")).verdict == "intact"


def test_two_records_that_only_changed_places_are_one_finding(tmp_path: Path) -> None:
    log = made(60, every=90, segments=1)
    for one, other in ((10, 11), (10, 20)):
        changed = placed_in(log)
        changed[one - 1], changed[other - 1] = changed[other - 1], changed[one - 1]
        report = verify(write(tmp_path / "log", files_of(log, changed)))
        assert [(found.name, found.record) for found in report.findings] == [("reordered", one)]


def test_what_comes_after_one_edit_is_not_blamed(tmp_path: Path) -> None:
    """Nor are the roots of checkpoints, which cannot be right any more."""
    log = made(300, every=20)
    changed = placed_in(log)
    segment, line = changed[152]
    changed[152] = (segment, line.replace(b'"ts":17', b'"ts":18'))
    report = verify(write(tmp_path / "log", files_of(log, changed)))
    assert [(found.name, found.record) for found in report.findings] == [("edited", 153)]
    offset = sum(len(line) + 1 for number, line in changed[:152] if number == segment)
    assert (report.findings[0].segment, report.findings[0].offset) == (name_of(segment), offset)


def test_one_word_replaced_all_over_names_its_first_record(tmp_path: Path) -> None:
    """Neighbours that were edited vouch for nothing; it is not the second of them that is named."""
    log = made(60, every=90, segments=1)
    changed = placed_in(log)
    for place in range(5, 25):
        segment, line = changed[place]
        changed[place] = (segment, line.replace(b'"ts":17', b'"ts":18'))
    report = verify(write(tmp_path / "log", files_of(log, changed)))
    assert [(found.name, found.record) for found in report.findings] == [("edited", n) for n in range(6, 26)]


@pytest.mark.parametrize("member", ["n", "prev", "ts"])
def test_every_member_of_every_record_is_covered(tmp_path: Path, member: str) -> None:
    log = made(40, every=9, segments=2)
    old = {"n": b'"n":', "prev": b'"prev":"', "ts": b'"ts":1'}[member]
    for number in range(1, log.size + 1):
        changed = placed_in(log)
        segment, line = changed[number - 1]
        at = line.index(old) + len(old)
        changed[number - 1] = (segment, line[:at] + (b"7" if line[at : at + 1] != b"7" else b"8") + line[at + 1 :])
        report = verify(write(tmp_path / "log", files_of(log, changed)))
        assert first(report)[1] == number, (number, report.findings)


def test_a_forged_record_before_the_true_one(tmp_path: Path) -> None:
    """It follows the chain and has the right number; who comes after tells that it is not the true one."""
    log = made(40, every=9, segments=1)
    changed = placed_in(log)
    segment, line = changed[19]
    changed.insert(19, (segment, line.replace(b'"ts":17', b'"ts":18')))
    report = verify(write(tmp_path / "log", files_of(log, changed)))
    assert [(found.name, found.record) for found in report.findings] == [("inserted", 20)]
    # One that does not follow the chain, while the true one does.
    changed = placed_in(log)
    changed.insert(19, (segment, text_of({**json.loads(line), "prev": "0" * 64})))
    report = verify(write(tmp_path / "log", files_of(log, changed)))
    assert [(found.name, found.record) for found in report.findings] == [("inserted", 20)]


@pytest.mark.parametrize(("step", "expected"), [(2, "deleted"), (0, "inserted"), (-5, "inserted")])
def test_numbers_that_jump_though_the_chain_was_made_anew(tmp_path: Path, step: int, expected: str) -> None:
    log = Log()
    for _ in range(20):
        log.add("lost", count=1, since=1, until=2, reason="busy")
    record = {**log.head("lost", {"reason": "another"}), "n": log.size + step}
    log.put(record)
    following = {**log.head("lost", {}), "n": log.size + step}
    log.put(following)
    assert first(verify(log.write(tmp_path / "log"))) == (expected, 22)
