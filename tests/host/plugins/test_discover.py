"""Finding installed plugins by their metadata, before any of their code runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunnion.config.selection import Selection
from trunnion.model.errors import BrokenPlugin
from trunnion.plugins.load import load_plugins
from trunnion.plugins.plugin_set import PluginSet

HOOK = """
from trunnion.hookspecs import hookimpl
from trunnion.model.commands import Command
@hookimpl
def trunnion_commands():
    yield Command(id="{name}.run", handler=print)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def distribution(site: Path, name: str, entry_points: str, version: str = "1.0", code: str = "") -> None:
    """An installed distribution ``name`` with one module of that name."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)
    (site / f"{name}.py").write_text(code or HOOK.format(name=name))


def load(selection: Selection | None = None, given: dict[str, object] | None = None) -> PluginSet:
    return load_plugins(selection or Selection(), builtins={}, given=given or {})


def facts(plugins: PluginSet, *names: str) -> list[tuple[str, str, str, str]]:
    return [(r.id, r.state, r.distribution, r.version) for r in plugins.records if r.id in names]


def entry(name: str, generation: int = 1, plugin_id: str | None = None) -> str:
    return f"[trunnion.plugins.v{generation}]\n{plugin_id or name} = {name}\n"


def test_an_installed_plugin_is_loaded_with_its_distribution(site: Path) -> None:
    distribution(site, "acme_one", entry("acme_one"), "1.2")
    plugins = load()
    assert facts(plugins, "acme_one") == [("acme_one", "loaded", "acme_one", "1.2")]
    assert "acme_one.run" in [c.id for found in plugins.contributions({}) for c in found.commands]


RAN = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"


def test_h5_another_generation_is_refused_before_import_in_readable_words(site: Path) -> None:
    distribution(site, "acme_new", entry("acme_new", 2), code=RAN)
    plugins = load()
    assert facts(plugins, "acme_new") == [("acme_new", "incompatible", "acme_new", "1.0")]
    (reason,) = [r.reason for r in plugins.records if r.id == "acme_new"]
    assert "built for plugin contract v2, this host speaks v1" in reason
    with pytest.raises(BrokenPlugin, match="contract v2"):
        load(Selection(only=frozenset({"acme_new"})))
    assert not list(site.glob("*.ran"))


def test_a_plugin_for_several_generations_is_taken_for_this_one(site: Path) -> None:
    distribution(site, "acme_both", entry("acme_both", 2) + entry("acme_both", 1))
    assert facts(load(), "acme_both") == [("acme_both", "loaded", "acme_both", "1.0")]


def test_h5_one_name_in_two_distributions_is_refused_before_import(site: Path) -> None:
    for name in ("acme_left", "acme_right"):
        distribution(site, name, entry(name, plugin_id="same"), code=RAN)
    plugins = load()
    assert [state for _, state, *_ in facts(plugins, "same")] == ["broken", "broken"]
    assert all("acme_left 1.0 and acme_right 1.0" in r.reason for r in plugins.records if r.id == "same")
    assert not list(site.glob("*.ran"))


def test_of_a_distribution_found_twice_the_first_counts(
    site: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(site, "acme_dup", entry("acme_dup"), "1.0")
    nearer = tmp_path_factory.mktemp("nearer")
    monkeypatch.syspath_prepend(nearer)
    distribution(nearer, "acme_dup", entry("acme_dup"), "2.0")
    assert facts(load(), "acme_dup") == [("acme_dup", "loaded", "acme_dup", "2.0")]


def test_h5_a_missing_dependency_is_named_with_its_plugin(site: Path) -> None:
    distribution(site, "acme_needy", entry("acme_needy"), code="import no_such_library\n")
    plugins = load()
    (record,) = [r for r in plugins.records if r.id == "acme_needy"]
    assert record.state == "broken"
    assert "No module named 'no_such_library' (acme_needy.py:1)" in record.reason


def test_unreadable_metadata_hides_no_other_plugin(site: Path) -> None:
    distribution(site, "acme_bad", "")
    (site / "acme_bad-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe[\n")
    distribution(site, "acme_fine", entry("acme_fine"))
    assert facts(load(), "acme_fine") == [("acme_fine", "loaded", "acme_fine", "1.0")]


def test_a_given_plugin_replaces_an_installed_one(site: Path) -> None:
    distribution(site, "acme_sub", entry("acme_sub"), code=RAN)
    plugins = load(given={"acme_sub": object()})
    assert facts(plugins, "acme_sub") == [("acme_sub", "loaded", "", "")]
    assert not list(site.glob("*.ran"))


def test_h12_safe_mode_imports_nothing_installed(site: Path) -> None:
    distribution(site, "acme_safe", entry("acme_safe"), code=RAN)
    plugins = load(Selection(safe_mode=True))
    assert facts(plugins, "acme_safe") == [("acme_safe", "disabled", "acme_safe", "1.0")]
    assert plugins.loaded == ()
    assert not list(site.glob("*.ran"))
