"""Who one is at a host elsewhere, and what the launcher refuses to do there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from trunnion.launcher.groups import SUBCOMMANDS
from trunnion.launcher.main import run

# -- who one is --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def token(far) -> str:
    """Of somebody who may do what is far, and no more."""
    assert far.run("run", "principals.add", "ann", "--role", "viewer").code == 0
    assert far.run("run", "grants.add", "--principal", "ann", "--role", "operator", "--on", "far.*").code == 0
    return far.json("run", "--json", "tokens.create", "ann", "--on", "*")["result"]["token"]


@pytest.fixture
def token_file(token: str, tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(token + "\n")
    path.chmod(0o600)
    return path


def test_a_token_comes_from_the_environment_or_a_file(far, token: str, token_file: Path) -> None:
    by_variable = far.run("--connect", far.tcp, "query", "far.size", "trunnion.toml", env={"TRUNNION_TOKEN": token})
    by_file = far.run("--connect", far.tcp, "--token-file", str(token_file), "query", "far.size", "trunnion.toml")
    assert by_variable.code == by_file.code == 0, by_file.err
    assert by_variable.out == by_file.out
    here = ["--connect", far.tcp, "--token-file", str(token_file)]
    refused = far.run(*here, "run", "demo.greet")
    assert (refused.code, "needs role operator, has viewer" in refused.err) == (4, True)
    # A file that is named counts before the environment, and a token before the silence of the owner's own socket.
    wrong = {"TRUNNION_TOKEN": "trn_wrong"}
    assert far.run(*here, "runs", "list", env=wrong).code == 0
    assert far.run("--connect", far.url, "runs", "list", env=wrong).code == 3


def test_nobody_and_the_wrong_one_are_told_so(far) -> None:
    nobody = far.run("--connect", far.tcp, "runs", "list")
    assert nobody.code == 3
    assert "put an API token into $TRUNNION_TOKEN, or into a file for --token-file" in nobody.err
    wrong = far.run("--connect", far.tcp, "runs", "list", env={"TRUNNION_TOKEN": "trn_wrong"})
    assert wrong.code == 3
    assert "trn_wrong" not in wrong.err + wrong.out


@pytest.mark.parametrize("held", ["", "two words", "tok\x07en", "é", "x" * 20_000])
def test_what_is_no_token_is_shown_to_nobody(far, tmp_path: Path, held: str) -> None:
    path = tmp_path / "token"
    path.write_text(held)
    path.chmod(0o600)
    ways = [(["--token-file", str(path)], {})] + ([([], {"TRUNNION_TOKEN": held})] if len(held) < 1000 else [])
    for words, env in ways:
        done = far.run("--connect", far.tcp, *words, "runs", "list", env=env)
        assert done.code == 2
        assert "is no token" in done.err
        assert not held or held not in done.err


def test_a_token_that_everybody_can_read_is_refused(far, token: str) -> None:
    """Defence: ``refuse_shown_secret``. A folder that others may not enter keeps it from them too."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "token"
        path.write_text(token)
        words = ["--connect", far.tcp, "--token-file", str(path), "runs", "list"]
        assert far.run(*words).code == 0
        path.parent.chmod(0o755)
        refused = far.run(*words)
        assert (refused.code, "every user can read the file" in refused.err) == (12, True)
        assert token not in refused.err


def test_a_host_has_a_name(far, token_file: Path) -> None:
    names = far.root / "xdg" / "trunnion" / "connections.toml"
    names.parent.mkdir(parents=True, exist_ok=True)
    names.write_text(f'[plant]\nurl = "{far.tcp}"\ntoken_file = "{os.path.relpath(token_file, names.parent)}"\n')
    assert far.run("--connect", "plant", "runs", "list").code == 0
    left = far.run("--connect", "plant", "run", "--detach", "far.weigh")
    assert "follow it with: trunnion --connect plant follow run/" in left.err
    near = far.run("--connect", "plan", "runs", "list")
    assert (near.code, "did you mean plant?" in near.err) == (5, True)
    names.write_text('[plant]\nurl = "grpc://127.0.0.1:1"\ntoken = "oh no"\n')
    wrong = far.run("--connect", "plant", "runs", "list")
    assert wrong.code != 0
    assert "unknown field `token`" in wrong.err
    assert "oh no" not in wrong.err


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_is_about_this_machine_is_refused_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    """Every subcommand does what it says there, or says that it does not."""
    for name, lazy in SUBCOMMANDS.items():
        run(["--connect", "grpc://127.0.0.1:1", name, "--help"])
        told = f"{name} is about this machine: leave --connect out" in capsys.readouterr().err
        assert told is not lazy.elsewhere, name


@pytest.mark.parametrize(
    "words",
    ["--data-dir x", "--only demo", "--without demo", "--plugin-dir .", "--set a.b=1", "--safe-mode"],
)
def test_what_only_a_host_that_starts_can_take_into_account_is_refused(far, words: str) -> None:
    done = far.run("--connect", far.url, *words.split(), "runs", "list")
    assert (done.code, f"so {words.split(maxsplit=1)[0]} has no effect" in done.err) == (2, True)


@pytest.mark.parametrize("option", ["--token-file", "--ca", "--cert", "--key"])
def test_what_is_shown_to_a_host_elsewhere_needs_one(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert run([option, "x", "runs", "list"]) == 2
    assert f"{option} concerns a host elsewhere: give --connect too" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--cert", "--key"])
def test_a_certificate_is_nothing_without_its_key(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert run(["--connect", "grpcs://127.0.0.1:1", option, "x", "runs", "list"]) == 2
    assert "give both, --cert and --key, or neither" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("grpc://127.0.0.1:1", 9, "cannot reach a host at grpc://127.0.0.1:1: Connection refused"),
        ("unix:/nowhere/rpc.sock", 9, "cannot reach a host at unix:/nowhere/rpc.sock: No such file or directory"),
        ("grpc://192.0.2.1:1", 2, "is another machine, and others could read along"),
        ("http://127.0.0.1:1", 2, "'http' is no way to reach a host; there are grpc, grpcs, unix"),
        ("grpc://nowhere", 2, "is no place of a host"),
        ("nowhere", 5, "that is no URL such as grpcs://plant.example:50051"),
    ],
)
def test_who_cannot_be_reached_is_named(far, url: str, code: int, told: str) -> None:
    done = far.run("--connect", url, "query", "demo.count")
    assert (done.code, told in done.err) == (code, True), done.err


@pytest.mark.parametrize("words", ["run demo.greet", "follow host", "meta", "upload trunnion.toml"])
def test_whatever_is_wanted_of_who_cannot_be_reached(far, words: str) -> None:
    done = far.run("--connect", "grpc://127.0.0.1:1", *words.split())
    assert (done.code, done.err) == (9, "error: cannot reach a host at grpc://127.0.0.1:1: Connection refused\n")


def test_what_is_local_is_refused_elsewhere(far) -> None:
    done = far.run("--connect", far.url, "run", "shell.run", "ls")
    assert (done.code, done.out) == (5, "")
