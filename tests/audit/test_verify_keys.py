"""Signatures, keys from inside and outside, checkpoints that must be true, and how a verifier is asked."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from log_kit import NOTHING, Log, Signer, made, name_of, text_of, write

from trunnion_audit import verify as verifier
from trunnion_audit.verify import (
    Question,
    Report,
    Trouble,
    Wrong,
    chain_of,
    given_keys,
    kept_roots,
    question_of,
    verify,
)


def names(report: Report) -> list[tuple[str, int]]:
    return [(finding.name, finding.record) for finding in report.findings]


def test_the_wrong_key_signs(tmp_path: Path) -> None:
    for signer, expected in ((0, "wrong_key"), ("stranger", "unknown_key"), ("forged", "bad_signature")):
        log = made(60, every=13, segments=2)
        true = log.signers[-1]
        if signer == "forged":
            log.signers[-1] = Signer("stranger")
            log.signers[-1].id = true.id
        else:
            log.signers.append(log.signers[0] if signer == 0 else Signer("stranger"))
        log.checkpoint()
        assert names(verify(log.write(tmp_path / "log"))) == [(expected, 61)]


def test_a_new_key_nobody_vouches_for(tmp_path: Path) -> None:
    log = made(30, every=13, segments=1)
    old, stranger = log.signers[-1], Signer("stranger")
    log.signers[-1] = stranger  # who signs as the old one
    head = {"host_id": log.host_id, "key": stranger.id, "public": stranger.public, "by": old.id, "reason": "mine"}
    record = log.head("key", head)
    log.put({**record, "sig_old": stranger.over("key", record), "sig": stranger.over("key", record)})
    log.checkpoint()
    report = verify(log.write(tmp_path / "log"))
    assert names(report)[:2] == [("bad_signature", 31), ("unknown_key", 32)]


@pytest.mark.parametrize("wrong", [{"size": 3}, {"root": "0" * 64}, {"head": "0" * 64}, {"host_id": "host-b"}])
def test_a_checkpoint_that_is_signed_and_not_true(tmp_path: Path, wrong: dict[str, Any]) -> None:
    log = made(30, every=13, segments=1)
    log.checkpoint(**wrong)
    log.add("note")
    log.checkpoint()
    expected = "wrong_host" if "host_id" in wrong else "bad_checkpoint"
    assert names(verify(log.write(tmp_path / "log"))) == [(expected, 31)]


def test_the_notes_of_a_segment_must_be_the_tree(tmp_path: Path) -> None:
    log = made(30, every=13, segments=1)
    log.segments.append([])
    log.numbers.append(2)
    log.add("segment", v=1, host_id=log.host_id, segment=2, nodes=log.nodes(29))
    log.checkpoint()
    assert names(verify(log.write(tmp_path / "log"))) == [("bad_checkpoint", 31)]


def test_a_segment_begins_with_its_own_head_and_has_no_other(tmp_path: Path) -> None:
    log = made(30, every=13, segments=1)
    log.add("segment", v=1, host_id=log.host_id, segment=2, nodes=log.nodes(30))
    assert names(verify(log.write(tmp_path / "log")))[0] == ("wrong_segment", 31)
    log = made(30, every=13, segments=1)
    log.segments.append([])
    log.numbers.append(2)
    log.add("note")
    assert names(verify(log.write(tmp_path / "log"))) == [("wrong_segment", 31)]


def test_the_key_lists_must_agree(tmp_path: Path) -> None:
    log, other = made(60, every=13), made(60, every=13, seed="other")
    files = log.files()
    assert names(verify(write(tmp_path / "log", {**files, "keys.json": other.keys()})))[0][0] == "wrong_key"
    listed = [{**log.listed[0], "record": log.listed[0]["record"].replace("host-a", "host-b")}]
    forged = text_of({"host_id": log.host_id, "keys": listed, "v": 1}) + b"\n"
    assert names(verify(write(tmp_path / "log", {**files, "keys.json": forged})))[0][0] == "bad_signature"
    older = text_of({"host_id": log.host_id, "keys": log.listed[:1], "v": 1}) + b"\n"
    assert verify(write(tmp_path / "log", {**files, "keys.json": older})).verdict == "intact"
    gone = {name: data for name, data in files.items() if name != "keys.json"}
    assert verify(write(tmp_path / "log", gone)).verdict == "intact"
    unread = verify(write(tmp_path / "log", {**files, "keys.json": b"no"}))
    assert names(unread) == [("malformed", 0)]


def test_keys_from_outside(tmp_path: Path) -> None:
    log, other = made(60, every=13), made(60, every=13, seed="other")
    log.write(tmp_path / "log")
    file = tmp_path / "given"
    for given_text in (log.keys(), log.signers[1].id.encode(), log.signers[0].public.encode() + b"\n"):
        file.write_bytes(given_text)
        report = verify(tmp_path / "log", question_of(keys=str(file), host_id="host-a"))
        assert (report.verdict, report.notes) == ("intact", [])
    file.write_bytes(other.keys())
    assert names(verify(tmp_path / "log", Question(keys=given_keys(str(file))))) == [("unknown_key", 1)]
    # The same first key, and then another one than here.
    fork = made(30, every=13)
    while fork.size < 59:
        fork.add("note")
    fork.rotate()
    file.write_bytes(fork.keys())
    assert names(verify(tmp_path / "log", Question(keys=given_keys(str(file)))))[0][0] in ("unknown_key", "wrong_key")
    log.rotate()
    file.write_bytes(log.keys())
    assert names(verify(tmp_path / "log", Question(keys=given_keys(str(file))))) == [("truncated", 61)]


# Asking.


def test_questions_that_are_wrong(tmp_path: Path) -> None:
    made(30, every=13).write(tmp_path / "log")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no\n")
    for wrong in (
        lambda: verify(tmp_path / "empty"),
        lambda: verify(tmp_path / "nowhere"),
        lambda: given_keys(str(tmp_path / "file")),
        lambda: given_keys(str(tmp_path / "nowhere")),
        lambda: kept_roots([str(tmp_path / "file")]),
        lambda: question_of(since="yesterday"),
    ):
        with pytest.raises(Trouble):
            wrong()


def test_a_compressed_segment_needs_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = made(30, every=13, segments=2)
    files = log.files()
    files[name_of(1) + ".zst"] = b"packed"
    assert verify(write(tmp_path / "log", files)).verdict == "intact"  # both are there: the plain one counts
    del files[name_of(1)]
    write(tmp_path / "log", files)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(Trouble, match="zstd -d"):
        verify(tmp_path / "log")


class Fake:
    """What of the module is used, for a file that is not compressed at all."""

    class ZstdError(Exception):
        pass

    class ZstdDecompressor:
        def stream_reader(self, file: io.BufferedReader, read_across_frames: bool) -> Any:
            class Reader:
                def read(self, size: int) -> bytes:
                    data = file.read(size)
                    if data[:6] == b"broken":
                        raise Fake.ZstdError
                    return data

            assert read_across_frames
            return Reader()


def test_a_compressed_segment_is_read_as_what_it_is_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", Fake())
    log = made(60, every=13, segments=3)
    files = log.files()
    for number in (1, 2):
        files[name_of(number) + ".zst"] = files.pop(name_of(number))
    assert verify(write(tmp_path / "log", files)).verdict == "intact"
    edited = files[name_of(2) + ".zst"].replace(b'"ts":17', b'"ts":18', 2)
    report = verify(write(tmp_path / "log", {**files, name_of(2) + ".zst": edited}))
    assert report.findings[0].record == len(log.segments[0]) + 1
    damaged = verify(write(tmp_path / "log", {**files, name_of(2) + ".zst": b"broken"}))
    assert damaged.findings[0].record == len(log.segments[0]) + 1


def test_on_another_machine(tmp_path: Path) -> None:
    """A copy of the one file, in an interpreter that knows nothing of this tree but the library for signatures."""
    source = Path(verifier.__file__).read_text(encoding="utf-8")
    copy = tmp_path / "verify.py"
    copy.write_text(source, encoding="utf-8")
    log = made(60, every=13)
    log.write(tmp_path / "log")

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", str(copy), *args]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    done = run("log", "--keys", log.signers[0].id, "--against", f"20:{log.root(20)}", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["verdict"] == "intact"
    done = run("log", "--host", "host-b")
    assert done.returncode == 1
    assert "wrong_host: record 1 (audit-00000001.jsonl at byte 0)" in done.stdout
    done = run("nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot read nowhere" in done.stderr
    imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    imported |= {
        name.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for name in node.names
    }
    tops = {str(name).split(".")[0] for name in imported}
    assert tops - sys.stdlib_module_names == {"cryptography"}


@pytest.mark.parametrize("wrong", [{"by": "0" * 16}, {"key": "0" * 16}])
def test_a_key_record_that_is_signed_and_not_true(tmp_path: Path, wrong: dict[str, Any]) -> None:
    log = made(30, every=13, segments=1)
    new, old = Signer("new"), log.signers[-1]
    true = {"host_id": log.host_id, "key": new.id, "public": new.public, "by": old.id, "reason": "due"}
    record = log.head("key", {**true, **wrong})
    log.put({**record, "sig_old": old.over("key", record), "sig": new.over("key", record)})
    log.checkpoint()
    expected = "wrong_key" if "by" in wrong else "bad_signature"
    assert names(verify(log.write(tmp_path / "log"))) == [(expected, 31)]


def test_a_genesis_under_another_id(tmp_path: Path) -> None:
    log, key = Log(), Signer("key")
    genesis = {**json.loads(log.lines[0]), "key": "0" * 16}
    genesis["sig"] = key.over("genesis", genesis)
    log.segments, log.leaves, log.prev = [[]], [], NOTHING
    log.put(genesis)
    files = {name: data for name, data in log.files().items() if name != "keys.json"}
    assert names(verify(write(tmp_path / "log", files))) == [("bad_signature", 1)]


@pytest.mark.parametrize("change", ["order", "host", "name", "record"])
def test_a_list_of_keys_that_is_no_chain(tmp_path: Path, change: str) -> None:
    log, host = made(60, every=13), made(60, every=13, host_id="host-b")
    one, two = log.listed
    lists = {
        "order": [two, one],
        "host": [one, host.listed[1]],
        "name": [one, {**two, "id": one["id"]}],
        "record": [one, {**two, "record": log.checkpoints[0].decode()}],
    }
    forged = text_of({"host_id": log.host_id, "keys": lists[change], "v": 1}) + b"\n"
    report = verify(write(tmp_path / "log", {**log.files(), "keys.json": forged}))
    assert names(report) == [("wrong_key", 0)] if change != "host" else report.verdict == "not intact"


def test_the_keys_of_a_chain_are_of_one_host_and_in_order() -> None:
    log = made(60, every=13)
    assert [key.id for key in chain_of(log.listed)] == [signer.id for signer in log.signers]
    new, old = Signer("new"), log.signers[-1]
    true = {"host_id": log.host_id, "key": new.id, "public": new.public, "by": old.id, "reason": "due"}
    for change in ({"host_id": "host-b"}, {"n": 20}):
        record = {**log.head("key", true), **change}
        line = text_of({**record, "sig_old": old.over("key", record), "sig": new.over("key", record)})
        with pytest.raises(Wrong, match="does not come after"):
            chain_of([*log.listed, {"id": new.id, "public": new.public, "record": line.decode()}])
