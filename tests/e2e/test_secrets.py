"""``trunnion secrets`` from the launcher, against a host in another process."""

from __future__ import annotations

import pexpect


def everything(place) -> bytes:
    """All that is in the data directory."""
    return b"".join(path.read_bytes() for path in place.data.rglob("*") if path.is_file())


def test_secrets_are_asked_for_listed_and_removed(place):
    place.up()
    terminal = place.spawn("secrets", "set", "shared/smtp")
    for prompt in ("value: ", "value again: "):
        terminal.expect_exact(prompt)
        terminal.sendline("typed-by-a-person")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    [header, row] = place.run("secrets", "list").out.splitlines()
    assert header.split("\t") == ["name", "changed", "trouble"]
    assert row.split("\t")[0] == "shared/smtp"
    assert place.run("secrets", "rotate").code == 0
    assert place.run("secrets", "delete", "shared/smtp").code == 0
    assert place.json("secrets", "list", "--json") == {"items": [], "next": None}
    assert b"typed-by-a-person" not in everything(place)


def test_a_secret_on_the_command_line_is_refused(place):
    place.up()
    refused = place.run("secrets", "set", "shared/smtp", "--value", "hunter2-canary")
    assert refused.code == 2
    assert "hunter2-canary" not in refused.out + refused.err


def test_without_a_host_they_are_kept_too(place):
    (place.data.parent / "value").write_text("from-a-file\n")
    place_file = place.data.parent / "value"
    assert place.run("secrets", "set", "shared/smtp", "--secret", f"value=file:{place_file}").code == 0
    [item] = place.json("secrets", "list", "--json")["items"]
    assert (item["name"], item["readable"]) == ("shared/smtp", True)
    assert b"from-a-file" not in everything(place)


def test_a_key_that_others_can_open_is_told_at_the_start_and_by_the_doctor(place):
    """Defence: else nobody knows before the first run that needs a secret."""
    up = place.up()
    assert place.run("secrets", "set", "shared/x", "--secret", "value=env:V", env={"V": "hunter2-canary"}).code == 0
    up.terminate()
    assert up.wait(20) == 0
    key = place.root / "data" / "secret.key"
    assert "ok       key of secrets" in place.run("doctor").out
    key.chmod(0o644)
    assert "PROBLEM  key of secrets" in place.run("doctor").out
    assert "chmod 600" in next(line for line in place.up().stderr if "cannot be opened" in line)
