"""The launcher with ``--connect``: what it does at a host elsewhere is what it does at home."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pexpect
import pytest
from far_kit import alike

from trunnion.launcher.main import run


def both(far, *words: str):
    """What a call of the program does at home, and elsewhere."""
    return far.run(*words), far.run("--connect", far.url, *words)


@pytest.fixture
def said(far, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The same in this process, which has imported everything already."""
    for name in ("TRUNNION_CONFIG", "XDG_CONFIG_HOME", "COLUMNS"):
        monkeypatch.setenv(name, far.env[name])
    monkeypatch.setenv("CODE", "1234")
    monkeypatch.chdir(far.root)

    def done(*words: str) -> tuple[SimpleNamespace, SimpleNamespace]:
        ways = ([], ["--connect", far.url])
        return tuple(_done(capsys, [*way, *words]) for way in ways)

    return done


def _done(capsys: pytest.CaptureFixture[str], words: list[str]) -> SimpleNamespace:
    code = run(words)
    captured = capsys.readouterr()
    return SimpleNamespace(code=code, out=captured.out, err=captured.err)


RUNS = [
    "run demo.greet Ada --loud",
    "run --json demo.greet Ada",
    "run demo.show",
    "run demo.fail",
    "run demo.fail --code 1",
    "run --json demo.fail",
    "run demo.late",
    "run --timeout 0.1 demo.nap",
    "run demo.nasty",
    "run demo.greet --nobody",
    "run demo.greet Ada --tone rude",
    "run --json demo.greet --tone rude",
    "run demo.greetings",
    "run --secret code=env:CODE demo.unlock",
    "run demo.unlock",
    "run demo.greet --help",
    "run --detach demo.greet",
    "query demo.count --n 3",
    "query demo.count three",
    "query demo.counts",
    "query --json demo.cars",
    "query demo.count --help",
    "follow run/nobody",
    "runs show nobody",
    "runs cancel nobody",
    "explain demo.greet --via web",
]


@pytest.mark.parametrize("words", RUNS)
def test_the_same_is_done_and_said(far, said, words: str) -> None:
    at_home, elsewhere = said(*words.split())
    assert (elsewhere.code, alike(elsewhere.out)) == (at_home.code, alike(at_home.out))
    assert alike(elsewhere.err.replace(f"--connect {far.url} ", "")) == alike(at_home.err)


@pytest.mark.parametrize("words", ["run demo.show", "run demo.fail", "query demo.count --n 3", "runs list --limit 0"])
def test_and_so_it_is_by_processes_of_their_own(far, words: str) -> None:
    at_home, elsewhere = both(far, *words.split())
    assert (elsewhere.code, alike(elsewhere.out)) == (at_home.code, alike(at_home.out))
    assert alike(elsewhere.err) == alike(at_home.err)


@pytest.fixture(scope="module")
def runs(far) -> list[str]:
    """Runs that have ended: by each door, well and otherwise."""
    ways = ([], ["--connect", far.url])
    words = ("demo.show", "demo.fail", "demo.pack")
    return [json.loads(far.run(*way, "run", "--json", word).out)["id"] for way in ways for word in words]


LOOKS = ["follow run/{}", "follow --json run/{}", "follow --no-live --after 2 run/{}", "runs show {}", "runs events {}",
         "runs events --json {}", "runs result {}", "runs export {}", "query runs.get {}"]  # fmt: skip


@pytest.mark.parametrize("words", LOOKS)
def test_what_is_on_record_looks_the_same_to_the_byte(said, runs: list[str], words: str) -> None:
    for each in runs:
        at_home, elsewhere = said(*words.format(each).split())
        kept = re.compile(r"(artifact: [^,]+, [^,]+), .*")  # whoever is on the machine is told the path
        err = [kept.sub(r"\1", each.err) for each in (at_home, elsewhere)]
        assert (elsewhere.code, elsewhere.out, err[1]) == (at_home.code, at_home.out, err[0])


@pytest.mark.parametrize(
    "words", ["runs list", "runs list --json", "runs list --source rpc --limit 2", "query runs.list"]
)
def test_lists_look_the_same_to_the_byte(said, runs: list[str], words: str) -> None:
    at_home, elsewhere = said(*words.split())
    assert at_home.out
    assert (elsewhere.code, elsewhere.out, elsewhere.err) == (at_home.code, at_home.out, at_home.err)


def test_the_record_says_by_which_door(far, runs: list[str]) -> None:
    sources = {far.json("query", "--json", "runs.get", each)["source"] for each in (runs[0], runs[-1])}
    assert sources == {"cli", "rpc"}


# -- one run, several clients ------------------------------------------------------------------------------------------


def test_a_run_started_elsewhere_is_followed_by_two_and_cancelled_at_home(far) -> None:
    """Both get the same bytes, to the end."""
    here = ["--connect", far.url]
    counting = far.run(*here, "run", "--detach", "far.count", "--until", str(far.root / "never")).out.strip()
    followers = [far.popen(*way, "follow", "--json", f"run/{counting}") for way in ([], here, here)]
    firsts = [follower.stdout.readline() for follower in followers]  # all of them look on
    assert far.run("runs", "cancel", counting).code == 0
    outs = [first + follower.stdout.read() for first, follower in zip(firsts, followers, strict=True)]
    assert [follower.wait(20) for follower in followers] == [0, 0, 0]
    assert outs[0] == outs[1] == outs[2]
    assert json.loads(outs[0].splitlines()[-1])["data"]["status"] == "cancelled"
    assert outs[0] == far.run("follow", "--json", f"run/{counting}").out


def test_ctrl_c_cancels_and_twice_leaves(far) -> None:
    for keys, said in ((1, "cancelled after"), (2, "was left to itself")):
        which = "demo.nap" if keys == 1 else "demo.stubborn"
        terminal = far.spawn("--connect", far.url, "run", which)
        terminal.expect("asleep")
        terminal.sendintr()
        terminal.expect("cancelling run ([0-9a-f-]{36}); Ctrl-C again to leave it to itself")
        run = terminal.match[1]
        if keys == 2:
            terminal.sendintr()
        terminal.expect(said)
        left = terminal.read()
        terminal.close()
        assert terminal.exitstatus not in (0, None)
        if keys == 2:
            assert f"come back with: trunnion --connect {far.url} follow run/{run}" in left
        # Who left at once did not wait for the host to have it on record.
        deadline = time.monotonic() + 10
        while not far.json("query", "--json", "runs.get", run).get("cancel_requested_at"):
            assert time.monotonic() < deadline, "the wish to cancel came to the host"


def test_ctrl_c_stops_following(far) -> None:
    run = far.run("--connect", far.url, "run", "--detach", "demo.nap").out.strip()
    terminal = far.spawn("--connect", far.url, "follow", f"run/{run}")
    terminal.expect("asleep")
    terminal.sendintr()
    terminal.expect("stopped following; what is followed goes on")
    terminal.expect(pexpect.EOF)
    assert far.json("query", "--json", "runs.get", run)["status"] == "running"
    assert far.run("--connect", far.url, "runs", "cancel", run).code == 0


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(far, tmp_path: Path) -> list[Path]:
    made = [tmp_path / "a file.bin", tmp_path / "other"]
    made[0].write_bytes(os.urandom(700_000))
    made[1].write_bytes(b"")
    return made


@pytest.mark.parametrize("name", ["far.weigh", "weigh"])
def test_files_of_this_machine_are_brought(far, files: list[Path], name: str) -> None:
    """Defence: ``Bringing``. The same words mean the same, relative paths too, be it one file twice."""
    os.chdir(files[0].parent)
    given = [str(files[0]), os.path.relpath(files[1], far.root), str(files[0])]
    at_home, elsewhere = both(far, "run", name, *given, "--unit", "kg")
    assert (elsewhere.code, elsewhere.out) == (0, at_home.out) == (at_home.code, elsewhere.out)
    args = far.json("runs", "list", "--json", "--source", "rpc", "--limit", "1")["items"][0]["args"]
    assert [handle.partition(":")[0] for handle in args["files"]] == ["upload"] * 3
    assert args["files"][0] == args["files"][2] != args["files"][1]
    assert args["unit"] == "kg"


def test_a_query_takes_files_too_and_keeps_none(far, files: list[Path]) -> None:
    before = len(far.json("query", "--json", "uploads.list")["items"])
    at_home, elsewhere = both(far, "query", "far.size", str(files[0]))
    assert (elsewhere.code, elsewhere.out) == (at_home.code, at_home.out) == (0, "700000\n")
    assert len(far.json("query", "--json", "uploads.list")["items"]) == before


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("nothing", '"nothing" is no file of this machine, from which it would be brought to the host'),
        (".", '"." is a folder, and only single files are brought to a host elsewhere'),
        ("pipe", '"pipe" is no regular file, which alone are brought to a host elsewhere'),
        ("upload:0", '"upload:0" is not there, or is not yours to use'),
    ],
)
def test_what_cannot_be_brought_is_named(far, file: str, told: str) -> None:
    """Defence: ``_fault``. Nobody waits for who would write to a pipe."""
    if not (far.root / "pipe").exists():
        os.mkfifo(far.root / "pipe")
    done = far.run("--connect", far.url, "run", "far.weigh", file)
    assert done.code == 2
    assert f"files: {told}" in done.err


def test_what_was_brought_for_a_call_that_is_refused_goes_again(far, files: list[Path]) -> None:
    """Defence: ``in_vain``."""
    before = far.json("query", "--json", "uploads.list")["items"]
    done = far.run("--connect", far.url, "run", "far.weigh", str(files[0]), "--unit", "miles")
    assert done.code == 2
    assert far.json("query", "--json", "uploads.list")["items"] == before


def test_an_upload_gives_a_handle(far, files: list[Path]) -> None:
    here = ["--connect", far.url]
    handle = far.run(*here, "upload", str(files[0])).out
    assert handle.startswith("upload:")
    facts = far.json(*here, "upload", "--json", str(files[1]), "--type", "text/plain")
    assert (facts["name"], facts["size"]) == ("other", 0)
    done = far.run(*here, "run", "far.weigh", handle.strip(), facts["handle"])
    assert done.out == far.run("run", "far.weigh", *map(str, files)).out
    missing = far.run(*here, "upload", "nowhere")
    assert (missing.code, "nowhere" in missing.err) == (2, True)


def test_kept_files_are_saved(far, tmp_path: Path) -> None:
    here = ["--connect", far.url]
    made = far.json(*here, "run", "--json", "far.keep", "700160")["result"]
    content = bytes(range(256)) * 2735
    saved = far.run(*here, "artifacts", "save", made, str(tmp_path))
    assert (saved.code, saved.err) == (0, f"saved {tmp_path / 'kept.bin'}\n")
    assert (tmp_path / "kept.bin").read_bytes() == content
    again = far.run(*here, "artifacts", "save", made, str(tmp_path))
    assert (again.code, "is there already" in again.err) == (6, True)
    out = subprocess.run(
        [*far.program, *here, "artifacts", "save", made, "-"],
        capture_output=True, check=True, env=far.env, cwd=far.root, timeout=20,
    )  # fmt: skip
    assert out.stdout == content
    at_home, elsewhere = both(far, "artifacts", "save", "nothing", str(tmp_path / "x"))
    assert (elsewhere.code, elsewhere.err) == (at_home.code, at_home.err)
    assert not (tmp_path / "x").exists()
