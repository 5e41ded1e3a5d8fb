"""Logs that are whole in themselves and yet not the truth: cut short, written anew, of others, begun late."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from log_kit import Log, Signer, made, name_of, text_of, write

from trunnion_audit import verify as verifier
from trunnion_audit.verify import Question, Report, given_keys, kept_roots, question_of, verify

Figure = Callable[..., None]


def names(report: Report) -> list[tuple[str, int]]:
    return [(finding.name, finding.record) for finding in report.findings]


def first(report: Report) -> tuple[str, int]:
    return names(report)[0] if report.findings else ("nothing", 0)


def kept(log: Log, folder: Path) -> Question:
    """What whoever keeps the last checkpoint of a log elsewhere asks."""
    file = folder / "kept"
    file.write_bytes(log.checkpoints[-1] + b"\n")
    return Question(roots=kept_roots([str(file)]))


def shortened(log: Log, size: int, extra: int = 0) -> dict[str, bytes]:
    """The first records of a log, and some bytes of the next one."""
    files, left = log.files(), size
    for number, lines in zip(log.numbers, log.segments, strict=True):
        there, left = lines[:left], max(0, left - len(lines))
        following = lines[len(there) : len(there) + 1] if len(there) < len(lines) else []
        files[name_of(number)] = b"".join(line + b"\n" for line in there) + b"".join(following)[:extra]
        if not left and extra and following:
            extra = 0
        if not files[name_of(number)]:
            del files[name_of(number)]
    return files


def test_o3_the_tail_cut_off(tmp_path: Path, figure: Figure) -> None:
    log, folder = made(40, every=7, segments=2), tmp_path / "log"
    question = kept(log, tmp_path)
    for size in range(log.size):
        files = shortened(log, size)
        assert first(verify(write(folder, files))) == ("truncated", size + 1)
        # The one who cuts also puts the checkpoint there that came before, and the keys of that time.
        older = [line for line in log.lines[:size] if b'"kind":"checkpoint"' in line]
        listed = [key for key in log.listed if json.loads(key["record"])["n"] <= size]
        files["keys.json"] = text_of({"host_id": log.host_id, "keys": listed, "v": 1}) + b"\n"
        files["checkpoint.json"] = older[-1] + b"\n" if older else b""
        if not older:
            del files["checkpoint.json"]
        if size:
            assert verify(write(folder, files)).verdict == "intact"
            assert ("truncated", size + 1) in names(verify(folder, question))
    figure("tails cut off", log.size)


def test_o3_half_a_record_is_told_from_a_cut(tmp_path: Path) -> None:
    log = made(40, every=7, segments=2)
    for _ in range(3):
        log.add("lost", count=1, since=1, until=2, reason="busy")
    for extra in (1, 20, len(log.lines[-1])):
        torn = verify(write(tmp_path / "log", shortened(log, log.size - 1, extra)))
        assert (torn.verdict, names(torn)) == ("torn", [("torn", log.size)])
    both = verify(write(tmp_path / "log", shortened(log, 30, 20)))
    assert (both.verdict, names(both)) == ("not intact", [("torn", 31), ("truncated", 31)])
    # In the middle of the log half a record is no crash.
    files = log.files()
    files[name_of(1)] = files[name_of(1)][:-5]
    assert first(verify(write(tmp_path / "log", files))) == ("malformed", len(log.segments[0]))


def test_o3_the_last_file_gone(tmp_path: Path) -> None:
    log = made(40, every=7, segments=3)
    files = log.files()
    del files[name_of(3)]
    assert first(verify(write(tmp_path / "log", files))) == ("truncated", len(log.lines) - len(log.segments[2]) + 1)
    nothing = {name: files[name] for name in ("keys.json", "checkpoint.json")}
    assert first(verify(write(tmp_path / "log", nothing)))[0] == "truncated"


def test_o3_the_window_is_stated(tmp_path: Path) -> None:
    """What comes after the last checkpoint can be removed unseen, and a verifier says how much that is."""
    log = made(40, every=7, segments=2)
    for _ in range(5):
        log.add("lost", count=1, since=1, until=2, reason="busy")
    said = verify(log.write(tmp_path / "log"))
    assert any("unsealed: 5 records" in note for note in said.notes)
    for size in range(40, 45):
        assert verify(write(tmp_path / "log", shortened(log, size))).verdict == "intact"


def test_o3_without_the_fault(tmp_path: Path) -> None:
    log = made(40, every=7, segments=2)
    log.write(tmp_path / "log")
    assert verify(tmp_path / "log", kept(log, tmp_path)).verdict == "intact"


def rewritten(seed: str = "key") -> tuple[Log, Log]:
    """A log, and the same log with one record changed and all that follows made anew."""
    true, forged = made(60, every=9, segments=2), Log(seed=seed)
    for line in true.lines[1:]:
        record = json.loads(line)
        members = {name: value for name, value in record.items() if name not in ("n", "prev", "ts", "kind", "sig")}
        kind = record["kind"]
        if kind == "checkpoint":
            forged.checkpoint()
        elif kind == "segment":
            forged.segment()
        elif kind == "key":
            forged.rotate()
        else:
            forged.add(kind, **{**members, "reason": "another"} if record["n"] == 18 else members)
    assert forged.size == true.size
    return true, forged


def test_o4_all_written_anew_without_the_key(tmp_path: Path) -> None:
    true, forged = rewritten(seed="attacker")
    forged.write(tmp_path / "log")
    (tmp_path / "keys").write_bytes(true.keys())
    assert verify(tmp_path / "log").verdict == "intact"  # its word for itself
    assert "whoever could write it could replace them" in verify(tmp_path / "log").notes[0]
    for given in (str(tmp_path / "keys"), true.signers[0].id, true.signers[1].public):
        assert first(verify(tmp_path / "log", Question(keys=given_keys(given)))) == ("unknown_key", 1)
    assert first(verify(tmp_path / "log", kept(true, tmp_path))) == ("forked", true.size - 1)


def test_o4_the_chain_made_anew_and_the_signatures_left(tmp_path: Path) -> None:
    true, forged = rewritten()
    signatures = iter([json.loads(line) for line in true.lines if b'"sig"' in line])
    prev, lines = "0" * 64, []
    for line in forged.lines:
        record = {**json.loads(line), "prev": prev}
        if "sig" in record:
            kept_one = next(signatures)
            record.update({name: kept_one[name] for name in ("sig", "sig_old", "root") if name in kept_one})
        lines.append(text_of(record))
        prev = __import__("hashlib").sha256(lines[-1]).hexdigest()
    at = len(forged.segments[0])
    forged.segments = [lines[:at], lines[at:]]
    report = verify(forged.write(tmp_path / "log"))
    number = next(n for n, line in enumerate(true.lines, 1) if n > 18 and b'"kind":"checkpoint"' in line)
    assert first(report) == ("bad_signature", number)


def asked_of(log: Log, folder: Path) -> list[Question]:
    """What whoever kept something of a log elsewhere asks: its last checkpoint, or a root."""
    return [kept(log, folder), *(Question(roots=kept_roots([f"{size}:{log.root(size)}"])) for size in (20, 17))]


def test_o4_without_the_fault(tmp_path: Path) -> None:
    true, _ = rewritten()
    true.write(tmp_path / "log")
    for given in (true.signers[0].id, true.signers[1].public):
        assert verify(tmp_path / "log", Question(keys=given_keys(given))).verdict == "intact"
    assert verify(tmp_path / "log", kept(true, tmp_path)).verdict == "intact"


def test_o5_all_written_anew_with_the_key(tmp_path: Path) -> None:
    true, forged = rewritten()
    forged.write(tmp_path / "log")
    last, after, before = (verify(tmp_path / "log", asked) for asked in asked_of(true, tmp_path))
    assert first(last) == ("forked", true.size - 1)
    assert first(after) == ("forked", 20)
    assert before.verdict == "intact"  # what was signed before the change is the truth still


def test_o5_without_the_fault(tmp_path: Path) -> None:
    true, _ = rewritten()
    true.write(tmp_path / "log")
    assert [verify(tmp_path / "log", asked).verdict for asked in asked_of(true, tmp_path)] == ["intact"] * 3


def test_o5_without_the_defence_the_forgery_is_believed(tmp_path: Path) -> None:
    """Only a root kept elsewhere tells, and docs/audit-format.md says so: neither the log nor its key does."""
    true, forged = rewritten()
    forged.write(tmp_path / "log")
    assert true.lines[17] != forged.lines[17]
    for asked in (Question(), Question(keys=given_keys(true.signers[0].id))):
        assert verify(tmp_path / "log", asked).verdict == "intact"


def test_o6_the_valid_file_of_another(tmp_path: Path) -> None:
    own, other = made(60, every=9, segments=3), made(60, every=9, segments=3, host_id="host-b", seed="other")
    ends = [sum(map(len, own.segments[:n])) for n in range(4)]
    for number in (1, 2, 3):
        files = {**own.files(), name_of(number): other.files()[name_of(number)]}
        report = verify(write(tmp_path / "log", files), Question(keys=given_keys(own.signers[0].id)))
        if number == 1:  # the key of the genesis is then not the one given, and whose record 1 it is not
            assert first(report)[1] == 1
        else:
            assert first(report)[1] in (ends[number - 1], ends[number - 1] + 1)
            assert "wrong_host" in dict(names(report))
    other.write(tmp_path / "log")
    assert verify(tmp_path / "log").verdict == "intact"
    assert first(verify(tmp_path / "log", Question(host_id="host-a"))) == ("wrong_host", 1)
    assert first(verify(tmp_path / "log", Question(keys=given_keys(own.signers[0].id)))) == ("unknown_key", 1)
    assert first(verify(tmp_path / "log", kept(own, tmp_path)))[0] == "wrong_host"


def test_o6_an_own_file_in_another_place(tmp_path: Path) -> None:
    log = made(60, every=9, segments=3)
    files, ends = log.files(), [sum(map(len, log.segments[:n])) for n in range(4)]
    for number in (2, 3):
        changed = {**files, name_of(number): files[name_of(number - 1)]}
        assert first(verify(write(tmp_path / "log", changed)))[1] == ends[number - 1] + 1
    swapped = {**files, name_of(2): files[name_of(3)], name_of(3): files[name_of(2)]}
    assert first(verify(write(tmp_path / "log", swapped)))[1] == ends[1] + 1
    gone = {name: data for name, data in files.items() if name != name_of(2)}
    report = verify(write(tmp_path / "log", gone))
    assert first(report) == ("wrong_segment", ends[1] + 1)


def test_o6_last_month_is_shorter_than_what_is_kept(tmp_path: Path) -> None:
    log = made(40, every=7, segments=2)
    log.write(tmp_path / "log")
    assert verify(tmp_path / "log", kept(log, tmp_path)).verdict == "intact"
    for _ in range(10):
        log.add("lost", count=1, since=1, until=2, reason="busy")
    log.checkpoint()
    assert names(verify(tmp_path / "log", kept(log, tmp_path))) == [("truncated", 41)]
    only_root = Question(roots=kept_roots([f"{log.size}:{log.root()}"]))
    assert names(verify(tmp_path / "log", only_root)) == [("truncated", 41)]


def cut_log(**options: object) -> Log:
    log = made(120, every=10, segments=4)
    log.cut(3, **options)
    log.segment()
    log.rotate()
    log.checkpoint()
    return log


def test_o18_the_older_segments_are_gone(tmp_path: Path) -> None:
    log = cut_log()
    begins = json.loads(log.segments[0][0])["n"]
    (tmp_path / "keys").write_bytes(log.keys())
    for given in (None, str(tmp_path / "keys"), *(signer.id for signer in log.signers)):
        question = Question(keys=None if given is None else given_keys(given))
        report = verify(log.write(tmp_path / "log"), question)
        assert report.verdict == "intact", report.findings
        assert any(f"history begins at record {begins}" in note for note in report.notes)
        assert report.facts["first"] == begins
    known = kept_roots([f"{log.size}:{log.root()}", f"{begins - 1}:{log.root(begins - 1)}", f"3:{log.root(3)}"])
    report = verify(tmp_path / "log", Question(roots=known))
    assert report.verdict == "intact"
    assert [note for note in report.notes if "not checked" in note and "over 3 records" in note]
    forked = kept_roots([f"{begins + 5}:{log.root(begins + 4)}"])
    assert names(verify(tmp_path / "log", Question(roots=forked))) == [("forked", begins + 5)]


def test_o18_remains_of_an_interrupted_removal_are_not_looked_at(tmp_path: Path) -> None:
    log = cut_log()
    files = {**log.files(), name_of(2): b"half removed"}
    assert verify(write(tmp_path / "log", files)).verdict == "intact"


def test_o18_nothing_vouches_for_the_beginning(tmp_path: Path) -> None:
    log = cut_log()
    begins = json.loads(log.segments[0][0])["n"]
    files = log.files()
    cut = json.loads(log.cut_line)
    stranger = Signer("stranger")
    forged = {**cut, "removed": 1}
    own = {**forged, "key": stranger.id}
    others = {
        "there is none": None,
        "another line than the log's": text_of({**forged, "sig": log.signers[1].over("cut", forged)}),
        "a signature that does not hold": text_of(forged),
        "of a stranger": text_of({**own, "sig": stranger.over("cut", own)}),
        "no record": b"{}",
    }
    for about, line in others.items():
        changed = {name: data for name, data in files.items() if name != "cut.json"}
        if line is not None:
            changed["cut.json"] = line + b"\n"
        report = verify(write(tmp_path / "log", changed))
        assert "begins_late" in dict(names(report)), about
        assert report.verdict == "not intact"
    # More is gone than the cut says.
    less = {name: data for name, data in files.items() if name != name_of(3)}
    assert first(verify(write(tmp_path / "log", less))) == ("begins_late", begins)
    # The first kept record is another one.
    changed = {**files, name_of(3): files[name_of(3)].replace(b'"prev":"', b'"prev":"0', 1)}
    changed[name_of(3)] = changed[name_of(3)].replace(json.loads(log.segments[0][0])["prev"].encode(), b"0" * 63, 1)
    assert first(verify(write(tmp_path / "log", changed)))[1] == begins


@pytest.mark.parametrize(
    "wrong",
    [{"root": "0" * 64}, {"nodes": []}, {"head": "0" * 64}, {"first": 7}, {"keys": []}, {"host_id": "host-b"}],
)
def test_o18_a_cut_that_says_the_wrong_thing_is_not_believed_though_it_is_signed(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    report = verify(cut_log(**wrong).write(tmp_path / "log"))
    assert report.verdict == "not intact"
    assert "begins_late" in dict(names(report)), report.findings


def test_o18_segments_that_go_while_the_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between what is read first and the list of segments: it begins again, and finds nothing amiss."""
    before, after, true = made(120, every=10, segments=4), cut_log(), verifier.segments_of
    write(tmp_path / "log", before.files())
    turns = iter([after.files()])

    def late(directory: Path) -> list[verifier.Segment]:
        for files in turns:
            write(directory, files)
        return true(directory)

    monkeypatch.setattr(verifier, "segments_of", late)
    report = verify(tmp_path / "log")
    assert (report.verdict, report.facts["first"]) == ("intact", json.loads(after.segments[0][0])["n"])


def test_o18_a_cut_by_a_stranger_is_named_in_the_log_and_beside_it(tmp_path: Path) -> None:
    log = made(120, every=10, segments=4)
    true = log.signers[-1]
    log.signers[-1] = Signer("stranger")
    log.signers[-1].id = true.id
    log.cut(3)
    begins = json.loads(log.segments[0][0])["n"]
    expected = [("begins_late", begins), ("bad_signature", 121), ("bad_signature", 122), ("begins_late", 0)]
    assert names(verify(log.write(tmp_path / "log"))) == expected


def test_o18_the_keys_in_a_cut_are_those_of_the_log(tmp_path: Path) -> None:
    log = made(120, every=10, segments=4)
    other = made(120, every=10, segments=4, seed="other")
    log.cut(3, keys=other.listed)
    files = log.files()
    del files["cut.json"]
    assert ("wrong_key", 121) in names(verify(write(tmp_path / "log", files)))


def test_o18_without_the_fault(tmp_path: Path) -> None:
    log = made(120, every=10, segments=4)
    assert not any("history begins" in note for note in verify(log.write(tmp_path / "log")).notes)


def test_from_the_middle_on_what_lacks_before_is_not_passed_over(tmp_path: Path) -> None:
    """A question about the beginning is not answered from the middle."""
    log = made(120, every=10, segments=4)
    files = {name: data for name, data in log.files().items() if name not in (name_of(1), name_of(2))}
    begins = sum(map(len, log.segments[:2])) + 1
    for since in ("1", str(begins)):
        assert first(verify(write(tmp_path / "log", files), question_of(since=since))) == ("begins_late", begins)


def test_from_a_record_or_a_time_on(tmp_path: Path) -> None:
    log = made(120, every=10, segments=4)
    ends = [sum(map(len, log.segments[:n])) for n in range(5)]
    files = log.files()
    files[name_of(1)] = files[name_of(1)].replace(b'"ts":17', b'"ts":18')
    write(tmp_path / "log", files)
    assert verify(tmp_path / "log").verdict == "not intact"
    for since in (str(ends[2] + 1), str(ends[3])):
        report = verify(tmp_path / "log", question_of(since=since))
        assert report.verdict == "intact", report.findings
        assert report.facts["first"] == ends[2] + 1
        assert f"checked from record {ends[2] + 1} on" in report.notes[0]
    moment = json.loads(log.segments[2][3])["ts"]
    stamp = __import__("datetime").datetime.fromtimestamp(moment / 1e6, __import__("datetime").UTC).isoformat()
    assert verify(tmp_path / "log", question_of(since=stamp)).facts["first"] == ends[2] + 1
    assert first(verify(tmp_path / "log", question_of(since="3")))[1] == 1
    # The tree goes on from the notes in the segment: a root after it can be compared.
    assert verify(tmp_path / "log", Question(roots=kept_roots([f"120:{log.root()}"]), since=ends[2] + 1)).findings == []
    wrong = kept_roots([f"{ends[2] + 5}:{log.root(3)}"])
    assert names(verify(tmp_path / "log", Question(roots=wrong, since=ends[2] + 1))) == [("forked", ends[2] + 5)]
