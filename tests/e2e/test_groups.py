"""Subcommands over the host's own commands and queries, as a person meets them who gets a word wrong."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tokens", "add", "bob"], "there is no subcommand 'add' but list, create, revoke"),
        (["artifacts", "sve"], "there is no subcommand 'sve' but list, show, verify, save"),
        (["secrets", "get"], "there is no subcommand 'get' but list, set, delete, rotate"),
        (["secrets", "set", "shared/db", "--secret", "vlue=env:HOME"], "no such secret argument but value"),
        (["principals", "set", "nobody-yet"], "there is no principal 'nobody-yet'"),
    ],
)
def test_a_wrong_word_is_told_with_the_right_ones(shared, words, expected):
    done = shared.run(*words)
    assert done.code in (2, 5)
    assert expected in done.err


def test_changing_nothing_is_refused_and_none_takes_a_role_away(shared):
    assert shared.run("principals", "add", "bob", "--role", "operator").code == 0
    for words in ([], ["--role", "null"]):
        done = shared.run("principals", "set", "bob", *words)
        assert done.code == 2
        assert "none to take it away" in done.err
    assert shared.run("principals", "set", "bob", "--role", "none").code == 0
    assert shared.json("principals", "show", "--json", "bob")["role"] is None


def test_a_kept_file_is_saved_and_the_place_is_told(shared):
    artifact = shared.run("run", "demo.pack").out.strip()
    folder = shared.root / "folder"
    folder.mkdir()
    done = shared.run("artifacts", "save", artifact, "folder")
    assert (done.code, done.err) == (0, "saved folder/report.csv\n")
    assert (folder / "report.csv").read_bytes() == b"a,b"
    assert shared.run("artifacts", "save", artifact, "-").out == "a,b"
    again = shared.run("artifacts", "save", artifact, "folder")
    assert again.code != 0
    assert "--force" in again.err


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (["tokens", "create"], "Usage: trunnion tokens create PRINCIPAL [OPTIONS]"),
        (["runs", "list"], "Usage: trunnion runs list [OPTIONS]"),
        (["secrets", "set"], "  trunnion secrets set --secret value=env:VARIABLE ..."),
        (["run", "demo.unlock"], "  trunnion run --secret code=env:VARIABLE demo.unlock ..."),
        (["run", "tokens.create"], "Usage: trunnion run tokens.create PRINCIPAL [OPTIONS]"),
    ],
)
def test_help_says_what_to_type_here(shared, words, call):
    done = shared.run(*words, "--help")
    assert done.code == 0
    assert call in done.out.splitlines()
    assert "``" not in done.out


def test_hints_are_words_to_type(shared):
    shared.run("principals", "add", "ann")
    assert "change it with: trunnion principals set ann" in shared.run("principals", "add", "ann").err


def test_a_secret_that_is_not_there_is_told_with_the_nearest(shared):
    assert shared.run("secrets", "set", "plc/door", "--secret", "value=env:V", env={"V": "hunter2"}).code == 0
    refused = shared.run("secrets", "delete", "plc/dor")
    assert (refused.code, "did you mean 'plc/door'?" in refused.err) == (5, True)


def test_a_plugin_that_acts_by_itself_is_explained_as_what_it_is(shared):
    found = shared.json("explain", "--json", "demo.greet", "--as", "system:schedule")
    assert (found["allowed"], found["source"]) == (True, "system:schedule")
    found = shared.json("explain", "--json", "secrets.set", "--as", "system:schedule")
    assert (found["allowed"], found["code"]) == (False, "forbidden")


def test_nobody_is_asked_for_a_secret_of_nothing(shared):
    assert "name: it is required" in shared.run("secrets", "set").err


def test_secret_arguments_of_a_repeated_run_are_given_like_those_of_the_first(shared):
    """Defence: as text, whatever it looks like, and not on the command line."""
    code = {"CODE": "1234567"}
    shared.run("run", "--secret", "code=env:CODE", "demo.unlock", env=code)
    first = shared.json("runs", "list", "--json", "--command", "demo.unlock")["items"][0]["id"]
    refused = shared.run("runs", "rerun", first)
    assert f"trunnion runs rerun --secret code {first}" in refused.err
    assert shared.run("runs", "rerun", first, "--secret", "code=env:CODE", env=code).code == 0
    again = shared.json("runs", "list", "--json", "--command", "demo.unlock")["items"][0]["id"]
    assert again != first
    shared.run("follow", f"run/{again}")
    assert shared.json("runs", "result", "--json", again)["result"] == 7
