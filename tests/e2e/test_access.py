"""Principals, grants and tokens from the launcher, against a host in another process."""

from __future__ import annotations

import re

import pexpect

TOKEN = re.compile(r"trn_[a-z2-7]{12}_[0-9A-Za-z]{43}\n")


def everything(place) -> bytes:
    """All that is in the data directory."""
    return b"".join(path.read_bytes() for path in place.data.rglob("*") if path.is_file())


def test_people_grants_and_tokens_from_the_first_to_the_last(place):
    place.up()
    assert place.run("principals", "add", "ada", "--role", "operator", "--note", "first shift").code == 0
    assert place.run("grants", "add", "ada", "viewer", "runs:demo.*", "stream:unit/*", "--id", "watch").code == 0
    made = place.run("tokens", "create", "ada", "--on", "demo.*", "--expires", "12h")
    assert TOKEN.fullmatch(made.out), "the token alone, so that a script can take it"
    assert "it will not be shown again" in made.err
    [header, row] = place.run("principals", "list").out.splitlines()
    assert header.split("\t") == ["name", "kind", "role", "disabled", "password", "origin", "note"]
    assert row.split("\t") == ["ada", "person", "operator", "", "", "managed", "first shift"]
    assert "runs:demo.* stream:unit/*" in place.run("grants", "list").out
    listed = place.run("tokens", "list").out
    token_id = made.out.split("_")[1]
    assert token_id in listed
    assert made.out.strip() not in listed + place.run("principals", "show", "ada").out
    assert place.run("tokens", "revoke", token_id).code == 0
    assert place.run("grants", "remove", "watch").code == 0
    assert place.run("principals", "remove", "ada").code == 0
    assert place.json("principals", "list", "--json") == {"items": [], "next": None}
    assert made.out.strip().encode() not in everything(place)


def test_without_a_host_they_are_kept_too(place):
    assert place.run("principals", "add", "ada").code == 0
    assert [item["name"] for item in place.json("principals", "list", "--json")["items"]] == ["ada"]


def test_a_password_is_asked_for_twice(place):
    place.up()
    place.run("principals", "add", "ada")
    terminal = place.spawn("principals", "password", "ada")
    for prompt in ("password: ", "password again: "):
        terminal.expect_exact(prompt)
        terminal.sendline("typed-by-a-person")
    terminal.expect(pexpect.EOF)
    assert "typed-by-a-person" not in terminal.before
    terminal.close()
    assert terminal.exitstatus == 0
    assert place.json("principals", "show", "--json", "ada")["has_password"] is True
    assert b"typed-by-a-person" not in everything(place)


def test_two_that_differ_are_no_password(place):
    place.up()
    place.run("principals", "add", "ada")
    terminal = place.spawn("principals", "password", "ada")
    for prompt, typed in (("password: ", "one-of-two"), ("password again: ", "other-of-two")):
        terminal.expect_exact(prompt)
        terminal.sendline(typed)
    terminal.expect("are not the same")
    terminal.expect(pexpect.EOF)
    assert place.json("principals", "show", "--json", "ada")["has_password"] is False


def test_a_password_comes_without_the_command_line(place):
    place.up()
    place.run("principals", "add", "ada")
    given = place.run("principals", "password", "ada", "--secret", "password=env:PW", env={"PW": "from-the-env"})
    assert given.code == 0, given.err
    for words in (["--password", "on-the-line"], ["--password=on-the-line"]):
        refused = place.run("principals", "password", "ada", *words)
        assert refused.code == 2
        assert "can be read by every process" in refused.err
        assert "on-the-line" not in refused.out + refused.err
    assert "nobody is there to ask" in place.run("principals", "password", "ada").err
    short = place.run("principals", "password", "ada", "--secret", "password=env:PW", env={"PW": "short"})
    assert short.code == 2
    assert b"from-the-env" not in everything(place)


def test_what_the_file_says_is_changed_in_the_file(place):
    place.config.write_text(place.config.read_text() + '[access.principals.ada]\nrole = "viewer"\n')
    place.up()
    refused = place.run("principals", "set", "ada", "--role", "admin")
    assert refused.code == 6
    assert str(place.config) in refused.err
    assert "config" in place.run("principals", "list").out


def test_an_unknown_name_in_the_file_is_an_error_with_the_nearest(place):
    grant = '[access.grants.g]\nprincipal = "adda"\nrole = "viewer"\non = ["demo.*"]\n'
    place.config.write_text(place.config.read_text() + "[access.principals.ada]\n" + grant)
    refused = place.run("up")
    assert refused.code == 12
    assert "did you mean 'ada'?" in refused.err
