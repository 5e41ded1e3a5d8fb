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
