"""What somebody who writes plugins does with an installed host: start one, install it, test it, have it checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from installed_kit import ROOT, build, call, environment, install

EXAMPLE = ROOT / "examples" / "plant_diary"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """An environment with the example and a plugin fresh from the template, which is in the folder beside it."""
    folder, own = tmp_path_factory.mktemp("author"), tmp_path_factory.mktemp("own")
    programs = environment(folder / "env", wheels, "trunnion-host", "pytest")
    made = call(programs / "trunnion", "new", "plugin", "bird-watch", "--dir", folder, cwd=folder).strip()
    assert made == str(folder / "bird-watch")
    for project in (EXAMPLE, Path(made)):
        build(project, own)
    install(programs, wheels, *own.iterdir())
    return programs


@pytest.mark.parametrize(
    ("distribution", "tests"), [("acme-plant-diary", EXAMPLE / "tests"), ("bird-watch", Path("bird-watch/tests"))]
)
def test_a_plugin_passes_its_own_tests_where_it_is_installed(
    programs: Path, tmp_path: Path, distribution: str, tests: Path
) -> None:
    """The fixture of the kit is there because the host is installed, for both kinds of test."""
    folder = programs.parent.parent
    options = ("-q", "--strict-markers", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", tmp_path)
    assert " passed" in call(programs / "python", "-B", "-m", "pytest", *options, folder / tests, cwd=tmp_path)
    checked = json.loads(call(programs / "trunnion", "check-plugin", "--json", distribution, cwd=tmp_path))
    assert [(entry["ok"], entry["distribution"]) for entry in checked] == [(True, distribution)]


def test_both_are_in_one_host_and_keep_what_they_know(programs: Path, tmp_path: Path) -> None:
    trunnion = (programs / "trunnion", "--data-dir", tmp_path / "data")
    listed = json.loads(call(*trunnion, "plugins", "--json", cwd=tmp_path))
    assert {record["id"]: record["state"] for record in listed} == {"plant_diary": "loaded", "bird_watch": "loaded"}
    call(*trunnion, "run", "plant_diary.note", "basil", "12.5", cwd=tmp_path)
    assert "hello, Ada" in call(*trunnion, "run", "bird_watch.greet", "Ada", cwd=tmp_path)
