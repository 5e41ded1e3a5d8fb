"""Principals, tokens, grants and exposure from the configuration."""

from __future__ import annotations

from functools import partial

import pytest
from identity_kit import GOOD, QUICK, people

from trunnion.access.credentials import Passwords, new_token, token_digest
from trunnion.model.errors import (
    Conflict,
    Forbidden,
    NotFound,
    Unauthenticated,
)
from trunnion.model.runs import Caller


@pytest.fixture
def start(tmp_path):
    return partial(people, tmp_path)


HASH = Passwords(QUICK).hash("another one")
CONFIG = """
[access.principals.bob]
role = "viewer"
note = "from the file"
password_hash = "{hashed}"
[access.principals."system:p"]
role = "admin"
[access.grants.turner]
principal = "bob"
role = "operator"
on = ["t.turn"]
[access.tokens.{token_id}]
principal = "bob"
sha256 = "{sha256}"
[access.expose]
"principals.add" = ["web"]
[access.withhold]
"t.look" = ["rpc"]
"""


@pytest.fixture
def from_file():
    token_id, text = new_token()
    hashed = Passwords().hash(GOOD)
    return CONFIG.format(hashed=hashed, token_id=token_id, sha256=token_digest(text)), token_id, text


async def test_the_configuration_makes_principals_tokens_grants_and_exposure(start, from_file):
    config, token_id, text = from_file
    async with start(config) as rig:
        bob = await rig.log_in("bob")
        assert await rig.do("t.turn", bob) == "turned"
        assert await rig.do("t.look", await rig.bearer(text)) == "seen"
        with pytest.raises(NotFound):
            await rig.do("t.look", await rig.bearer(text, "rpc"))
        with pytest.raises(Forbidden):
            await rig.do("principals.add", bob, name="x")
        items = (await rig.ask_of("tokens.list"))["items"]
        assert [(item["id"], item["origin"], item["created"]) for item in items] == [(token_id, "config", None)]
        assert rig.kernel.authentication.passwords.outdated(
            rig.kernel.identities.register.principal("bob").password_hash
        )


async def test_what_the_configuration_says_is_changed_there(start, from_file, tmp_path):
    config, token_id, _ = from_file
    async with start(config) as rig:
        for command, args in [
            ("principals.set", {"name": "bob", "role": "admin"}), ("principals.remove", {"name": "bob"}),
            ("principals.password", {"name": "bob", "password": "another one"}),
            ("grants.remove", {"id": "turner"}), ("tokens.revoke", {"id": token_id}),
        ]:  # fmt: skip
            with pytest.raises(Conflict, match=str(tmp_path / "trunnion.toml")):
                await rig.do(command, **args)
        with pytest.raises(Conflict, match="already"):
            await rig.do("principals.add", name="bob")
        with pytest.raises(Conflict, match="already"):
            await rig.do("grants.add", principal="bob", role="viewer", on=["x"], id="turner")


async def test_what_the_file_names_counts_and_the_managed_one_is_shown_as_shadowed(start, from_file):
    async with start(durability="process") as rig:
        await rig.person("bob", "admin")
    async with start(from_file[0], durability="process") as rig:
        rows = [
            (i["name"], i["role"], i["origin"], i["shadowed"]) for i in (await rig.ask_of("principals.list"))["items"]
        ]
        assert rows[:2] == [("bob", "viewer", "config", False), ("bob", "admin", "managed", True)]
        assert (await rig.log_in("bob")).role == "viewer"
        assert (await rig.ask_of("principals.get", name="bob"))["note"] == "from the file"


async def test_another_section_counts_at_once(start, from_file):
    async with start(from_file[0]) as rig:
        bob = await rig.log_in("bob")
        await rig.do("t.turn", bob)
        section = rig.host.config.section("access")
        rig.kernel.identities.configure({**section, "grants": {}})
        with pytest.raises(Forbidden):
            await rig.do("t.turn", bob)
        rig.kernel.identities.configure({**section, "principals": {"bob": {"role": "viewer", "password_hash": HASH}}})
        with pytest.raises(Unauthenticated, match="another password"):
            await rig.do("t.look", bob)
        rig.kernel.identities.configure({})
        with pytest.raises(Unauthenticated):
            await rig.do("t.look", bob)


async def test_a_plugin_is_operator_unless_the_configuration_says_more(start, from_file):
    """Defence: the role comes from ``system_role``, no longer from the plugin."""
    async with start() as rig:
        plugin = rig.host.handle("web", "p").owner_caller()
        assert plugin == Caller("system:p", "system:p", "operator")
    async with start(from_file[0]) as rig:
        assert rig.host.handle("web", "p").owner_caller().role == "admin"
        assert rig.host.handle("web", "other").owner_caller().role == "operator"
