"""Every plugin of this repository keeps the contract that those of others are checked against."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunnion.testing import check_plugin

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = sorted(path.parent for path in ROOT.glob("*/*/pyproject.toml"))
FILES = [*ROOT.glob("examples/quickstart/plugins/*.py"), *ROOT.glob("examples/night_shift/*.py")]
PLUGINS = [*DISTRIBUTIONS, *sorted(FILES)]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_keeps_the_contract(plugin: Path) -> None:
    for report in check_plugin(str(plugin)):
        assert report.ok, f"\n{report}"
        if ROOT / "examples" in plugin.parents:
            assert not report.of("warning"), f"what is shown as an example leaves nothing to be said\n{report}"


def test_all_of_them_are_looked_at() -> None:
    names = {plugin.name for plugin in PLUGINS}
    assert {"scripts", "plant_diary", "greenhouse.py", "night_shift.py"} <= names
    assert {path.parent for path in ROOT.glob("plugins/*/pyproject.toml")} <= set(DISTRIBUTIONS)
