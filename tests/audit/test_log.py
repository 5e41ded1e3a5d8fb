"""The log on the disk: what is written, what a crash leaves of it, and what is not gone on with."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from audit_kit import HOST, canonical, check_chain, intent, lines, of_kind, outcome, records, root_of
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from trunnion_audit.keys import KeyProblem
from trunnion_audit.log import Log, Rules
from trunnion_audit.records import KINDS
from trunnion_audit.segment import FileProblem, Segment
from trunnion_audit.taking_up import Damaged
from trunnion_audit.verify import verify


def opened(folder: Path, now: int = 1, **rules: int) -> Log:
    return Log.open(folder, HOST, Rules(**rules), now)


def closed(log: Log) -> None:
    log.syncing()()
    log.close()


def test_fields_of_every_kind_stand_in_the_order_of_their_names() -> None:
    for kind in KINDS:
        names = [field.name for field in msgspec.structs.fields(kind)]
        assert names == sorted(names), kind


def test_every_line_is_canonical_and_follows_the_one_before(tmp_path: Path) -> None:
    log = opened(tmp_path / "audit", segment_bytes=4000, checkpoint_records=7)
    for number in range(100):
        log.write([intent(number), outcome(number, log.state.n + 1)], number)
    closed(log)
    assert check_chain(tmp_path / "audit") == log.state.n
    assert len(list((tmp_path / "audit").glob("audit-*.jsonl"))) > 5


def test_checkpoints_are_signed_roots_of_all_records_before_them(tmp_path: Path) -> None:
    log = opened(tmp_path / "audit", segment_bytes=4000, checkpoint_records=7)
    for number in range(50):
        log.write([intent(number)], number)
    closed(log)
    all_lines = lines(tmp_path / "audit")
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(json.loads(all_lines[0])["public"]))
    checkpoints = of_kind(tmp_path / "audit", "checkpoint")
    assert len(checkpoints) > 6
    for record in checkpoints:
        assert record["size"] == record["n"] - 1
        assert record["root"] == root_of(all_lines[: record["size"]]).hex()
        assert record["head"] == record["prev"]
        signature = bytes.fromhex(record.pop("sig"))
        public.verify(signature, b"trunnion-audit/1 checkpoint\n" + canonical(record))
    shown = json.loads((tmp_path / "audit" / "checkpoint.json").read_bytes())
    assert shown["n"] == checkpoints[-1]["n"]


def test_heads_of_segments_know_the_tree_before_them(tmp_path: Path) -> None:
    log = opened(tmp_path / "audit", segment_bytes=1500)
    for number in range(40):
        log.write([intent(number)], number)
    closed(log)
    all_lines = lines(tmp_path / "audit")
    for head in of_kind(tmp_path / "audit", "segment"):
        size, nodes, at = head["n"] - 1, [], 0
        for bit in reversed(range(size.bit_length())):
            if size >> bit & 1:
                nodes.append(root_of(all_lines[at : at + (1 << bit)]).hex())
                at += 1 << bit
        assert head["nodes"] == nodes


def test_everything_is_for_the_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        log = opened(tmp_path / "audit", checkpoint_records=2)
        log.write([intent(1), intent(2)], 1)
        closed(log)
    finally:
        os.umask(before)
    folder = tmp_path / "audit"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(found.values()) == {0o600}
    assert {"audit-00000001.jsonl", "keys.json", "checkpoint.json"} <= set(found)


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    for start in range(6):
        log = opened(folder, segment_bytes=3000, checkpoint_records=9)
        for number in range(start * 10, start * 10 + 10):
            log.write([intent(number)], number)
        if start % 2:
            log.write([outcome(number, 0) for number in range(start * 10)], 1)
        closed(log)
    assert check_chain(folder) == log.state.n
    again = opened(folder)
    assert again.state == log.state
    assert again.intents == {f"run-{number}": again.intents[f"run-{number}"] for number in range(50, 60)}
    again.close()


def test_intents_that_are_open_are_found_in_earlier_segments_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunnion_audit.log.MOST_INTENTS", 3)
    folder = tmp_path / "audit"
    log = opened(folder, segment_bytes=1500)
    for number in range(20):
        log.write([intent(number)], number)
    closed(log)
    assert of_kind(folder, "segment")[-1]["open_intents"] is None
    assert list(opened(folder).intents) == [f"run-{number}" for number in range(20)]


def test_b3_a_tail_torn_at_any_byte_is_cut_off_and_put_on_record(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    log.write([intent(1)], 1)
    closed(log)
    path = folder / "audit-00000001.jsonl"
    start = path.read_bytes()
    log = opened(folder)
    log.write([intent(2), intent(3), intent(4)], 2)
    closed(log)
    grown = path.read_bytes()
    for cut in range(len(start) + 1, len(grown) + 1):
        path.write_bytes(grown[:cut])
        half = grown[:cut].rpartition(b"\n")[2]
        opened(folder, now=9).close()
        torn = of_kind(folder, "torn")
        assert [record["bytes"] for record in torn] == ([len(half)] if half else [])
        if half:
            assert bytes.fromhex(torn[0]["head"]) == half[:256]
        assert check_chain(folder) == 2 + grown[len(start) : cut].count(b"\n") + bool(half)


def test_b3_without_the_fault_nothing_is_cut_off(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    path = folder / "audit-00000001.jsonl"
    for number in range(1, 4):
        log = opened(folder)
        log.write([intent(number)], number)
        closed(log)
        whole = path.read_bytes()
        opened(folder, now=9).close()
        assert path.read_bytes() == whole
        assert of_kind(folder, "torn") == []
        assert check_chain(folder) == 1 + number
    assert verify(folder).verdict == "intact"


def begun_anew(folder: Path) -> None:
    """A host died while it wrote, and another goes on."""
    path = folder / "audit-00000001.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    log = opened(folder)
    log.write([intent(3)], 3)
    closed(log)


def gone_on_with(folder: Path) -> None:
    """A write is short, the next one fails, and the host goes on."""
    log, real, left = opened(folder), os.write, [9]

    def short(descriptor: int, data: bytes) -> int:
        if not left:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return real(descriptor, data[: left.pop()])

    with pytest.MonkeyPatch.context() as disk:
        disk.setattr("trunnion_audit.segment.os.write", short)
        with pytest.raises(FileProblem):
            log.write([intent(3)], 3)
    log.write([intent(4)], 4)
    closed(log)


def cut_short(folder: Path, short: Callable[[Path], None]) -> Path:
    log = opened(folder)
    log.write([intent(1), intent(2)], 1)
    closed(log)
    short(folder)
    return folder


@pytest.mark.parametrize("short", [begun_anew, gone_on_with])
def test_b3_what_comes_after_a_short_write_is_a_line_of_its_own(tmp_path: Path, short: Callable[[Path], None]) -> None:
    assert verify(cut_short(tmp_path / "audit", short)).verdict == "intact"


@pytest.mark.parametrize("short", [begun_anew, gone_on_with])
def test_b3_without_the_defence_half_a_record_spoils_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: Callable[[Path], None]
) -> None:
    """Nothing is cut off, and nobody looks how long the file is: two records are in one line, and the log is none."""
    monkeypatch.setattr("trunnion_audit.segment.os.ftruncate", lambda descriptor, size: None)
    monkeypatch.setattr(Segment, "look", lambda self: None)
    folder = cut_short(tmp_path / "audit", short)
    assert verify(folder).verdict != "intact"
    with pytest.raises(Damaged):
        opened(folder)


def test_a_crash_while_the_first_record_was_written_leaves_no_log(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    opened(folder).close()
    (folder / "keys.json").unlink()
    path = folder / "audit-00000001.jsonl"
    for cut in (0, 1, 100):
        path.write_bytes(path.read_bytes()[:cut])
        (folder / "keys.json").unlink(missing_ok=True)
        opened(folder).close()
        assert [record["kind"] for record in records(folder)] == ["genesis"]


def test_a_crash_while_a_segment_was_begun_is_gone_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    log.write([intent(1)], 1)
    log.rotate(2)
    closed(log)
    path = folder / "audit-00000002.jsonl"
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        log = opened(folder, now=3)
        log.close()
        kinds = [record["kind"] for record in records(folder)]
        assert kinds == ["genesis", "intent", "checkpoint", "segment"] + (["torn"] if cut else [])
        check_chain(folder)
        assert log.intents == {"run-1": 2}


def test_keys_are_found_again_when_their_list_was_not_written(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    old = log.key.id
    log.rotate_key("as every year", 2)
    closed(log)
    assert not (folder / f"key-{old}.pem").exists()
    listed = (folder / "keys.json").read_bytes()
    (folder / "keys.json").unlink()
    log = opened(folder)
    assert log.key.id != old
    log.close()
    assert (folder / "keys.json").read_bytes() == listed


def test_a_new_key_is_signed_by_both(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    log = opened(folder)
    log.rotate_key("as every year", 2)
    closed(log)
    genesis, key = (of_kind(folder, kind)[0] for kind in ("genesis", "key"))
    signatures = {name: bytes.fromhex(key.pop(name)) for name in ("sig", "sig_old")}
    said = b"trunnion-audit/1 key\n" + canonical(key)
    for name, public in (("sig_old", genesis["public"]), ("sig", key["public"])):
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signatures[name], said)
    assert [checkpoint["key"] for checkpoint in of_kind(folder, "checkpoint")] == [genesis["key"], key["key"]]


# -- what is not gone on with ---------------------------------------------------------------------


def damaged(folder: Path) -> str:
    with pytest.raises((Damaged, KeyProblem)) as caught:
        opened(folder)
    return str(caught.value)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "audit"
    log = opened(folder, segment_bytes=1500)
    for number in range(12):
        log.write([intent(number)], number)
    log.seal(12)
    closed(log)
    return folder


def test_an_edited_record_is_not_gone_on_from(made: Path) -> None:
    path = sorted(made.glob("audit-*"))[-1]
    path.write_bytes(path.read_bytes().replace(b"device.write", b"device.READS", 1))
    assert "is not the one that follows" in damaged(made)


def test_a_log_that_lost_whole_records_is_not_gone_on_from(made: Path) -> None:
    path = sorted(made.glob("audit-*"))[-1]
    path.write_bytes(path.read_bytes().rpartition(b"\n")[0].rpartition(b"\n")[0] + b"\n")
    assert "was written" in damaged(made)


def test_a_log_without_one_of_its_segments_is_not_gone_on_from(made: Path) -> None:
    sorted(made.glob("audit-*"))[1].unlink()
    assert "segments are missing" in damaged(made)


def test_a_log_without_any_segment_is_not_begun_anew(made: Path) -> None:
    for path in made.glob("audit-*"):
        path.unlink()
    assert "none of its segments" in damaged(made)


def test_the_log_of_another_host_is_not_gone_on_from(made: Path) -> None:
    with pytest.raises(Damaged, match="another host"):
        Log.open(made, "another", Rules(), 1)


def test_a_log_without_its_key_is_not_gone_on_from(made: Path) -> None:
    next(made.glob("key-*.pem")).unlink()
    assert "signing key" in damaged(made)


# -- the file changes under the writer ------------------------------------------------------------


@pytest.mark.parametrize("what", ["gone", "replaced", "changed", "mode"])
def test_o8_whatever_happens_to_the_file_is_noticed_before_the_next_record(tmp_path: Path, what: str) -> None:
    log = opened(tmp_path / "audit")
    log.write([intent(1)], 1)
    path = tmp_path / "audit" / "audit-00000001.jsonl"
    content = path.read_bytes()
    if what == "gone":
        path.unlink()
    elif what == "replaced":
        path.rename(path.with_name("elsewhere"))
        path.write_bytes(content)
        path.chmod(0o600)
    elif what == "changed":
        with path.open("ab") as file:
            file.write(b"x\n")
    else:
        path.chmod(0o640)
    before = log.state
    with pytest.raises(FileProblem) as caught:
        log.write([intent(2)], 2)
    assert caught.value.reason == what
    assert log.state == before


def test_a_file_that_is_put_right_again_is_gone_on_with(tmp_path: Path) -> None:
    log = opened(tmp_path / "audit")
    path = tmp_path / "audit" / "audit-00000001.jsonl"
    path.chmod(0o640)
    with pytest.raises(FileProblem):
        log.write([intent(1)], 1)
    path.chmod(0o600)
    log.write([intent(1)], 1)
    check_chain(tmp_path / "audit")


def test_a_record_that_is_too_large_is_refused_and_the_chain_goes_on(tmp_path: Path) -> None:
    log = opened(tmp_path / "audit")
    with pytest.raises(ValueError, match="larger than a line may be"):
        log.write([intent(1), intent(2, args="x" * (1 << 20))], 1)
    log.write([intent(3)], 1)
    assert check_chain(tmp_path / "audit") == 2


@settings(max_examples=150, deadline=None)
@given(st.text(), st.text(), st.lists(st.text(), max_size=3), st.integers(0, 2**53 - 1))
def test_o12_what_people_choose_cannot_leave_its_place(target: str, args: str, chain: list[str], ts: int) -> None:
    record = intent(1, target=target, args=args, chain=tuple(chain), ts=ts)
    record.kind, record.n, record.prev = "intent", 1, "0" * 64
    line = record.line()
    assert b"\n" not in line
    decoded = json.loads(line)
    assert canonical(decoded) == line
    assert (decoded["target"], decoded["args"], decoded["kind"], decoded["n"]) == (target, args, "intent", 1)
