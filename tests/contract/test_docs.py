"""The documents say what the code does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

import trunnion
from trunnion import rendering, testing
from trunnion.config.selection import Selection
from trunnion.launcher.main import cli
from trunnion.model.errors import ERROR_TABLE
from trunnion.plugins.load import load_plugins
from trunnion_scripts.declaration import read

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("plugins/*/README.md"),
        *ROOT.glob("examples/*/README.md"),
    ]
)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_the_plugin_in_the_readme_is_the_one_in_the_quickstart() -> None:
    plugin = (ROOT / "examples/quickstart/plugins/greenhouse.py").read_text(encoding="utf-8")
    assert plugin in blocks(ROOT / "README.md", "python")


def test_the_script_in_the_readme_can_be_declared() -> None:
    (table,) = [block for block in blocks(ROOT / "README.md", "toml") if "[scripts." in block]
    assert read("backup", tomllib.loads(table)["scripts"]["backup"], "scripts.backup").positional == (
        "folder",
        "archive",
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} == reached


def test_every_exit_status_is_in_the_table_of_the_operating_guide() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| ([^|]*) \|", (ROOT / "docs/operating.md").read_text(encoding="utf-8"), re.M)
    said: dict[str, int] = {}
    for statuses, codes in rows:
        numbers = [int(number) for number in statuses.split(",")]
        names = re.findall(r"`(\w+)`", codes)
        said |= dict(zip(names, numbers if len(numbers) == len(names) else numbers * len(names), strict=True))
    assert said == {code: row.exit for code, row in ERROR_TABLE.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_subcommands_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`trunnion(?: --\w[\w-]*(?: \S+)?)* ([a-z][a-z-]*)\b", text))
    options = r"(?: --(?:data-dir|connect|ca|cert|key) \S+| --\w[\w-]*)*"
    named |= set(re.findall(rf"^\$ trunnion{options} ([a-z][a-z-]*)\b", text, re.M))
    brought = {lazy.name for _, lazy in load_plugins(Selection(), builtins={}).cli()}
    assert named <= brought | set(cli.list_commands(click.Context(cli)))


def test_public_names_in_the_plugin_guide_exist() -> None:
    text = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    others = {"Path", "Literal", "Enum", "CancelledError", "None", "NO_COLOR"}
    named = set(re.findall(r"`([A-Z]\w+)(?:\(|`)", text)) - others
    assert named - {*trunnion.__all__, *testing.__all__, *rendering.__all__} == set()


def test_the_table_in_the_plugin_guide_is_drawn_so() -> None:
    rows = [["pump1", 3, "ok"], ["pump3", 12.5, "slow, see its log"]]
    look = rendering.TableLook(rule="─", indent=2)
    drawn = rendering.draw_table(rendering.Table(rows, ["device", "ms", "state"], "Devices", look), 80)
    assert f"```\n{drawn}```" in (ROOT / "docs/plugins.md").read_text(encoding="utf-8")


def test_the_tests_in_the_plugin_guide_pass(tmp_path: Path) -> None:
    (tests,) = [block for block in blocks(ROOT / "docs/plugins.md", "python") if "trunnion_host" in block]
    (tmp_path / "test_greenhouse.py").write_text(tests)
    places = [str(ROOT / "examples/quickstart/plugins"), os.environ.get("PYTHONPATH", "")]
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST"))}
    done = subprocess.run(
        [
            sys.executable,
            "-B",
            "-m",
            "pytest",
            "-q",
            "-p",
            "trunnion.testing.pytest_plugin",
            "--rootdir",
            tmp_path,
            ".",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr
