"""What a plugin imports: while it is loaded, measured; and of the host, read from its source."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec

import trunnion
from trunnion.testing.report import Finding
from trunnion.testing.subject import Subject

HEAVY = frozenset(
    {
        "PIL",
        "aiohttp",
        "boto3",
        "cv2",
        "django",
        "fastapi",
        "flask",
        "google",
        "grpc",
        "httpx",
        "jsonschema",
        "matplotlib",
        "mcp",
        "numpy",
        "pandas",
        "playwright",
        "prompt_toolkit",
        "pyarrow",
        "pydantic",
        "requests",
        "scipy",
        "sklearn",
        "sqlalchemy",
        "starlette",
        "tensorflow",
        "torch",
        "uvicorn",
        "websockets",
    }
)
"""Packages that cost every start of every host where a plugin imports them at once."""

PUBLIC = frozenset({"trunnion", "trunnion.arguments", "trunnion.hookspecs", "trunnion.process", "trunnion.testing"})
"""Modules whose names stay where they are."""

SLOW = 1.0
"""Seconds for an import that want a second thought."""

PATIENCE = 60

# The host is there already where a plugin is loaded, so what it has imported is no burden of the plugin.
PROBE = """
import json, sys, time
asked = json.load(sys.stdin)
sys.path[:] = asked["path"]
import trunnion, trunnion.host, importlib, runpy
for name in trunnion.__all__:
    getattr(trunnion, name)
before, begun = set(sys.modules), time.perf_counter()
importlib.import_module(asked["module"]) if asked["module"] else runpy.run_path(asked["file"])
seconds = time.perf_counter() - begun
sys.__stdout__.write("\\n" + json.dumps({"modules": sorted(set(sys.modules) - before), "seconds": seconds}))
"""


class Loaded(msgspec.Struct, frozen=True):
    """What the import of a plugin brought into the process, and how long it took."""

    modules: list[str]
    seconds: float


def at_load(subject: Subject) -> Iterator[Finding]:
    """Import it in a fresh interpreter and judge what came with it."""
    asked = json.dumps({"path": [*subject.path, *sys.path], "module": subject.module, "file": str(subject.file or "")})
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE], input=asked, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding("imports", "error", f"its import did not end within {PATIENCE} s")
        return
    if done.returncode:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        yield Finding("imports", "error", f"it cannot be imported in a fresh interpreter: {last}")
        return
    yield from judged(msgspec.json.decode(done.stdout.rpartition("\n")[2], type=Loaded), _own_package(subject))


def judged(loaded: Loaded, own: str) -> Iterator[Finding]:
    """What to say of an import.

    Args:
        loaded: what it brought.
        own: the plugin's own package.
    """
    tops = {name.partition(".")[0] for name in loaded.modules} - sys.stdlib_module_names - {own, "trunnion"}
    for name in sorted(tops & HEAVY):
        yield Finding(
            "imports", "error", f"it imports {name} when it is loaded: import it in the function that needs it"
        )
    if loaded.seconds > SLOW:
        yield Finding("imports", "warning", f"its import took {loaded.seconds:.1f} s, at every start of every host")
    others = ", ".join(sorted(name for name in tops if not name.startswith("_"))) or "nothing else"
    yield Finding("imports", "note", f"took {loaded.seconds * 1000:.0f} ms and brought {others}")


def of_the_host(subject: Subject) -> Iterator[Finding]:
    """Judge each import of the host's names, in all its modules."""
    files = sources(subject)
    for file in files:
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        except (SyntaxError, ValueError) as error:
            yield Finding("names", "error", f"{file.name}: {error}")
            continue
        for line, module, name in _imports(tree):
            yield from _judged_import(f"{file.name}:{line}", module, name, _own_package(subject))
    yield Finding("names", "note", f"read {len(files)} files")


def sources(subject: Subject) -> list[Path]:
    """The files of a plugin: of the package its module is in, or the module alone."""
    if subject.file is not None:
        return [subject.file]
    package = subject.module.rpartition(".")[0]
    spec = find_spec(package or subject.module)
    if spec is None:
        return []
    folders = spec.submodule_search_locations
    if folders is None:
        return [Path(spec.origin)] if spec.origin else []
    return sorted(file for folder in folders for file in Path(folder).rglob("*.py"))


def _own_package(subject: Subject) -> str:
    return subject.module.partition(".")[0] or "trunnion_plugin_file"


def _imports(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Each absolute import as line, module and name, ``""`` for a whole module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)


def _judged_import(where: str, module: str, name: str, own: str) -> Iterable[Finding]:
    top, *rest = module.split(".")
    if top.startswith("trunnion_") and top != own:
        yield Finding("names", "error", f"{where}: imports {top}: plugins meet through commands, queries and streams")
    if top != "trunnion":
        return
    whole = f"{module}.{name}" if name else module
    if any(part.startswith("_") and not part.startswith("__") for part in (*rest, name)):
        yield Finding("names", "error", f"{where}: {whole} is private to the host")
    elif module == "trunnion" and name not in ("", "*") and name not in trunnion.__all__ and whole not in PUBLIC:
        yield Finding("names", "error", f"{where}: trunnion has no public name {name}")
    elif module not in PUBLIC:
        instead = f"write: from trunnion import {name}" if name in trunnion.__all__ else "it may move without notice"
        yield Finding("names", "warning", f"{where}: {whole} is no public place; {instead}")
