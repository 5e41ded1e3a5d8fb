"""The pure parts of a reload: keys, types, sources, and sets that change together."""

from __future__ import annotations

from pathlib import Path

import pytest
from reload_kit import reloadable, until

from trunnion.config.changes import taken_up
from trunnion.config.load import load_config
from trunnion.config.values import Config, describe
from trunnion.kernel.registry import Contributed
from trunnion.model.commands import Command
from trunnion.model.contributions import Setting
from trunnion.model.errors import Conflict

FREE = {"type": "object", "additionalProperties": {"properties": {"key": {"writeOnly": True}}}}
DECLARED = {
    "door": (Setting(key="port", schema={"default": 1}), Setting(key="", schema=FREE, reload="live")),
    "rigid": (Setting(key="", schema=FREE),),
}


def configured(path: Path, text: str, **environ: str) -> Config:
    path.write_text(text)
    path.chmod(0o600)
    return load_config(path, environ=environ, settings=DECLARED)


def test_keys_that_nobody_named_come_and_go_with_the_rule_of_their_section(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    before = configured(file, "[door.a]\nkey = 'x'\n[rigid.a]\nkey = 'x'\n")
    after, changes = taken_up(before, configured(file, "[door.b]\nkey = 'x'\n[rigid.b]\nkey = 'secret-one'\n"))
    assert (changes.live, changes.restart) == (("door.a", "door.b"), ("rigid.a", "rigid.b"))
    assert set(after.values["door"]) == {"port", "b"}
    assert set(after.values["rigid"]) == {"a"}
    shown = {entry.key: entry for entry in describe(after)}
    assert (shown["rigid.a"].pending, shown["rigid.a"].pending_value) == (True, None)
    assert shown["rigid.b"].value is None
    assert shown["rigid.b"].pending_value == {"key": "***"}


def test_true_is_not_one(tmp_path: Path) -> None:
    """Defence: values are compared as JSON."""
    file = tmp_path / "t.toml"
    before = configured(file, "[door]\nport = 1\n")
    assert taken_up(before, configured(file, "[door]\nport = true\n"))[1].restart == ("door.port",)


def test_the_source_shown_is_that_of_the_value_in_force(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    before = configured(file, "[log]\nlevel = 'debug'\n[store]\ndurability = 'power'\n")
    fresh = configured(file, "", TRUNNION__LOG__LEVEL="error", TRUNNION__STORE__DURABILITY="memory")
    after, _ = taken_up(before, fresh)
    assert (after.source_of("log.level"), after.source_of("store.durability")) == ("env", "file")


def test_sets_of_several_owners_change_together_or_not_at_all() -> None:
    from trunnion.kernel.entries import Compiler
    from trunnion.kernel.registry import Registry

    def owning(*names: str) -> Contributed:
        return Contributed(commands=[Command(id=name, handler=lambda: None) for name in names])

    registry, changes = Registry(Compiler()), list[int]()
    registry.replace("a", owning("x.one"))
    registry.replace("b", owning("x.two"), available=False)
    registry.listeners.append(lambda: changes.append(1))
    registry.replace_all({"a": owning("x.two"), "b": owning("x.one")})
    assert {e.id: (e.owner, e.available) for e in registry.all_commands()} == {
        "x.two": ("a", True),
        "x.one": ("b", False),
    }
    with pytest.raises(Conflict, match=r"b wants the name 'x\.three', which a already has"):
        registry.replace_all({"a": owning("x.three"), "b": owning("x.three")})
    assert {e.id for e in registry.all_commands()} == {"x.one", "x.two"}
    assert changes == [1]


async def test_a_wished_reload_that_meets_a_defect_is_told_and_the_next_is_not_kept_from(tmp_path: Path) -> None:
    """Defence: ``Reloading._fulfil`` reports whatever is raised; nobody waits for its task."""
    async with reloadable(tmp_path, "[executor]\nmax_pending = 5\n") as on:

        def breaks(config: Config) -> None:
            raise LookupError("hm")

        on.host._settings.checks.append(breaks)
        on.host.request_reload()
        await until(lambda: on.host._reloading._wished is None)
        (event,) = await on.told("config.refused")
        assert event["text"].endswith("a defect raised LookupError")
        on.host._settings.checks.remove(breaks)
        on.host.request_reload()
        await until(lambda: on.host._settings.generation == 2)
