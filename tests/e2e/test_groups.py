"""Subcommands over the host's own commands and queries, as a person meets them who gets a word wrong."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tokens", "add", "bob"], "there is no subcommand 'add' but list, create, revoke"),
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
