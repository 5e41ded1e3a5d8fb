"""The audit as a user meets it: the program, its own process, its doors."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_kit import check_chain, of_kind, records

PATIENCE = 30
PROGRAM = str(Path(sys.executable).with_name("trunnion"))


def environment(root: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRUNNION")}
    return {**kept, "XDG_CONFIG_HOME": str(root), "TRUNNION_PLUGINS": "audit"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder(data: Path) -> Path:
    return data / "audit"


@pytest.fixture
def trunnion(tmp_path: Path, data: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*args: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        command = [PROGRAM, "--data-dir", str(data), *args]
        told = {"capture_output": True, "text": True, "env": environment(tmp_path), "cwd": tmp_path}
        done = subprocess.run(command, check=False, timeout=PATIENCE, **told)  # type: ignore[call-overload]
        assert status is None or done.returncode == status, done.stderr + done.stdout
        return done

    return run


@pytest.fixture
def up(tmp_path: Path, data: Path) -> Iterator[subprocess.Popen[str]]:
    """A host with the audit."""
    command = [PROGRAM, "--data-dir", str(data), "up"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment(tmp_path), cwd=tmp_path
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "is up on" in line:
            break
    yield process
    process.terminate()
    assert process.wait(PATIENCE) == 0
    process.stdout.close()


def test_a_command_without_a_running_host_is_on_record(trunnion: Callable[..., Any], folder: Path) -> None:
    trunnion("run", "principals.add", "ann")
    (intent,) = of_kind(folder, "intent")
    assert intent["target"] == "principals.add" and intent["source"] == "cli"
    kinds = [record["kind"] for record in records(folder)]
    assert kinds.index("intent") < kinds.index("outcome")
    check_chain(folder)


def test_the_way_back_in_by_the_program(trunnion: Callable[..., Any], folder: Path) -> None:
    trunnion("run", "principals.add", "ann")
    path = folder / "audit-00000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"principals.add", b"principals.see", 1))
    refused = trunnion("run", "principals.add", "eve", status=9)
    assert "cannot be put on record" in refused.stderr and "is not the one that follows" in refused.stderr
    trunnion("audit", "recover", "an editor was in it")
    trunnion("run", "principals.add", "bob")
    check_chain(folder)
    told = [record for record in of_kind(folder, "admin") if record["action"] == "audit.recover"]
    assert json.loads(told[0]["detail"])["reason"] == "an editor was in it"
    assert [record["target"] for record in of_kind(folder, "intent")] == ["principals.add"]


@pytest.mark.usefixtures("up")
def test_status_and_another_key_by_the_program(trunnion: Callable[..., Any], folder: Path) -> None:
    before = json.loads(trunnion("query", "--json", "audit.status").stdout)
    assert "well" in trunnion("audit", "status").stdout
    trunnion("audit", "rotate-key", "as every year")
    after = json.loads(trunnion("query", "--json", "audit.status").stdout)
    assert after["key"] != before["key"] and after["state"] == "well"
    (key,) = of_kind(folder, "key")
    assert (key["by"], key["key"], key["reason"]) == (before["key"], after["key"], "as every year")


@pytest.mark.usefixtures("up")
def test_o15_messages_that_are_none_are_on_record(data: Path, folder: Path, trunnion: Callable[..., Any]) -> None:
    corpus = [b"{", b"[]", b'{"type":"rpc"}', b'{"type":"rpc","id":1,"method":5}', b"\xff\xfe", b'"' + b"x" * 100]
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(data / "run" / "host.sock"))
        answers = line.makefile("rb")
        for message in corpus:
            line.sendall(message + b"\n")
            assert json.loads(answers.readline())["type"] == "rpc_error"
        trunnion("query", "audit.status")
    told = [record for record in of_kind(folder, "refusal") if record["what"] == "call"]
    assert [record["target"] for record in told] == ["message"] * len(corpus)
    assert {record["code"] for record in told} == {"invalid_arguments"}
    assert all(record["principal"] and record["reason"] for record in told)


def test_a_host_that_only_reads_reads(trunnion: Callable[..., Any], folder: Path) -> None:
    trunnion("run", "principals.add", "ann")
    before = len(records(folder))
    assert "principals.add" in trunnion("query", "runs.list").stdout
    assert len(records(folder)) == before


def test_the_record_is_searched_by_the_program(trunnion: Callable[..., Any], up: object, folder: Path) -> None:
    trunnion("run", "principals.add", "ann")
    trunnion("run", "principals.add", "eve")
    found = trunnion("audit", "search", "--target", "principals.*", "--kind", "intent").stdout.splitlines()
    assert [line.split()[2:5] for line in found] == [["intent", "command", "principals.add"]] * 2
    assert "eve" in found[0] and "ann" in found[1]
    _, line, *_ = trunnion("audit", "search", "--text", "EVE", "--kind", "intent", "--json").stdout.splitlines()
    assert json.loads(line)["target"] == "principals.add"
    many = trunnion("audit", "search", "--limit", "1000000", "--json").stdout.splitlines()
    assert json.loads(many[-1])["kind"] == "genesis"
    assert "is no time" in trunnion("audit", "search", "--since", "soon", status=2).stderr
    assert of_kind(folder, "intent")[-1]["target"] == "audit.search"


def test_the_record_is_followed_by_the_program(trunnion: Callable[..., Any], up: object) -> None:
    trunnion("run", "principals.add", "ann")
    told = trunnion("audit", "tail", "--no-live", "--after", "0").stdout
    assert "admin host.start" in told and "intent command principals.add" in told and "intent stream audit.tail" in told


@pytest.mark.parametrize("host", [True, False])
def test_the_record_is_exported_by_the_program(
    trunnion: Callable[..., Any], folder: Path, tmp_path: Path, host: bool, request: pytest.FixtureRequest
) -> None:
    if host:
        request.getfixturevalue("up")
    trunnion("run", "principals.add", "ann")
    done = trunnion("audit", "export", "kept.jsonl", "--kind", "intent")
    assert "2 records" in done.stderr and "saved kept.jsonl" in done.stderr
    lines = (tmp_path / "kept.jsonl").read_text().splitlines()
    assert [json.loads(line)["target"] for line in lines] == ["principals.add", "audit.export"]
    table = trunnion("audit", "export", "-", "--csv", "--kind", "intent").stdout.splitlines()
    assert table[0].startswith('"n","time","kind"') and "principals.add" in table[1]
    refused = trunnion("audit", "export", "kept.jsonl", status=None)
    assert refused.returncode != 0 and "kept.jsonl" in refused.stderr


def test_search_without_a_host_says_what_to_do(trunnion: Callable[..., Any]) -> None:
    trunnion("run", "principals.add", "ann")
    refused = trunnion("audit", "search", status=None)
    assert refused.returncode != 0 and "trunnion up" in refused.stderr
