"""What is in the repository: one version everywhere, no registry, no machine, nothing unfinished."""

from __future__ import annotations

import importlib.util
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".git", ".venv", "dist", "build", "node_modules", "data"}
HERE = Path(__file__).name
LONGEST = 400
ONE_FILE = "plugins/audit/src/trunnion_audit/verify.py"
"""What checks an audit log is copied to other machines, and read there by those who do not trust ours: one file."""
GENERATED = "plugins/rpc/src/trunnion_rpc/v1"


def files() -> Iterator[Path]:
    """What the repository holds, without what tools put beside it; works without git too."""
    for folder, names, found in os.walk(ROOT):
        names[:] = [n for n in names if n not in SKIPPED and not n.endswith("_cache") and n != "__pycache__"]
        names[:] = [n for n in names if n not in {".hypothesis", ".bench"} and not n.endswith(".egg-info")]
        # In a second worktree .git is a file, with the place of the first.
        yield from (
            Path(folder) / name for name in found if not name.startswith((".coverage", ".git")) or name == ".gitignore"
        )


def texts(*suffixes: str) -> Iterator[tuple[Path, str]]:
    for path in files():
        if path.name == HERE or (suffixes and path.suffix not in suffixes):
            continue
        try:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def found(pattern: str, *suffixes: str) -> list[str]:
    """Every ``file:line`` whose line matches."""
    expression = re.compile(pattern)
    return [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in texts(*suffixes)
        for number, line in enumerate(text.splitlines(), 1)
        if expression.search(line)
    ]


def test_no_address_of_a_package_registry() -> None:
    assert found(r"(?i)\b(pypi\.org|pythonhosted|registry\.npmjs|index-url\s*[= ]\s*http|artifactory|nexus\.)") == []


def test_no_path_of_somebodys_machine() -> None:
    assert found(r"(?<![\w.])/(work|root|Users)/|/home/(?!you\b)[a-z]+/") == []


def test_nothing_unfinished() -> None:
    unfinished = found(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", ".py", ".toml", ".sh", "")
    # msgspec asks a schema hook to raise NotImplementedError for a type it does not know.
    assert [line for line in unfinished if "arguments/hints.py" not in line and GENERATED not in line] == []


def test_no_module_is_too_long_to_read() -> None:
    sources = [path for path in files() if path.suffix == ".py" and path.parent != ROOT / GENERATED]
    sources.remove(ROOT / ONE_FILE)
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources}
    assert len(lengths) > 200
    assert [str(path) for path, length in lengths.items() if length > LONGEST] == []


def bump() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bump_version", ROOT / "tools" / "bump_version.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def projects() -> dict[str, dict[str, object]]:
    loaded = [tomllib.loads(path.read_text(encoding="utf-8"))["project"] for path in bump().pyprojects(ROOT)]
    return {project["name"]: project for project in loaded}


def test_all_distributions_carry_one_version_and_the_root_pins_it() -> None:
    found_projects = projects()
    (version,) = {str(project["version"]) for project in found_projects.values()}
    assert f'"{version}"' in bump().version_module(ROOT).read_text(encoding="utf-8")
    minor = int(version.split(".")[1])
    root = found_projects.pop("trunnion")
    extras: dict[str, list[str]] = root["optional-dependencies"]  # type: ignore[assignment]
    everything = {f"{name}=={version}" for name in found_projects if name != "trunnion-host"}
    assert root["dependencies"] == [f"trunnion-host=={version}"]
    assert set(extras["all"]) == everything
    assert {pin for name, pins in extras.items() if name != "all" for pin in pins} == everything
    for name in found_projects.keys() - {"trunnion-host"}:
        assert f"trunnion-host>=0.{minor},<0.{minor + 1}" in found_projects[name]["dependencies"]  # type: ignore[operator]


def test_the_bump_script_writes_every_place() -> None:
    old = 'version = "0.1.0"\ndependencies = ["trunnion-host==0.1.0", "trunnion-host>=0.1,<0.2", "click>=8.2"]\n'
    new = 'version = "1.2.3"\ndependencies = ["trunnion-host==1.2.3", "trunnion-host>=1.2,<1.3", "click>=8.2"]\n'
    assert bump().with_version(old, "1.2.3") == new
    assert bump().with_version('VERSION = "0.1.0"\n', "1.2.3") == 'VERSION = "1.2.3"\n'
    with pytest.raises(ValueError, match=r"0\.2"):
        bump().with_version(old, "1.2")


def test_constraints_pin_with_hashes_whatever_is_needed() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {name.lower().replace("_", "-") for name in re.findall(r"(?m)^([A-Za-z0-9_.-]+)==", lines)}
    assert len(re.findall(r"--hash=sha256:", lines)) > len(pinned)
    for name, project in projects().items():
        for requirement in project.get("dependencies", []):  # type: ignore[attr-defined]
            needed = re.match(r"[A-Za-z0-9_.-]+", requirement)
            assert needed is not None
            assert needed[0] in pinned or needed[0].startswith("trunnion"), (
                f"{name} needs {needed[0]}: make constraints"
            )
