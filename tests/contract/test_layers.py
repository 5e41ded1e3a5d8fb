"""The import graph: inside the host it points downwards only; a plugin knows the host's public names only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "host" / "src" / "trunnion"
PLUGINS = sorted((ROOT / "plugins").glob("*/src/trunnion_*"))

LAYERS = (
    {"testing"},
    {"launcher"},
    {"host"},
    {"builtin"},
    {"protocol"},
    {"plugins"},
    {"kernel"},
    {"access"},
    {"arguments", "store", "process", "config", "isolation"},
    {"hookspecs"},
    {"rendering"},
    {"model", "_version"},
)
"""Top to bottom. The package itself (``trunnion/__init__.py``) only re-exports and is judged apart."""

HEIGHT = {name: -number for number, layer in enumerate(LAYERS) for name in layer}


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(tree: ast.AST, package: str = "") -> Iterator[tuple[int, str, str]]:
    """Each import as (line, module, name or ``""``), those for type checking left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imports(ast.Module([other], []), package)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, module, alias.name) for alias in node.names)
        else:
            yield from imports(node, package)


def imports_of(path: Path) -> list[tuple[int, str, str]]:
    src = next(parent for parent in path.parents if parent.name == "src")
    package = ".".join(path.parent.relative_to(src).parts)
    return list(imports(ast.parse(path.read_text(encoding="utf-8")), package))


def layer_of(module: str, name: str) -> str:
    """The layer a name of the host is in; ``""`` for the package itself.

    Single modules beside the folders are the composition root's, but for those with a place of their own.
    """
    first = [*module.split("."), name][1]
    if first in HEIGHT:
        return first
    return "host" if (HOST / f"{first}.py").exists() else ""


@pytest.mark.parametrize("path", modules(HOST), ids=lambda p: str(p.relative_to(HOST)))
def test_imports_inside_the_host_point_downwards(path: Path) -> None:
    if path == HOST / "__init__.py":
        return
    own = layer_of("trunnion", path.relative_to(HOST).parts[0].removesuffix(".py"))
    assert own, f"{path} has no layer: add it to LAYERS"
    for line, module, name in imports_of(path):
        if module.split(".")[0] != "trunnion":
            continue
        target = layer_of(module, name)
        where = f"{path.relative_to(ROOT)}:{line} imports {module} {name}"
        if not target:
            # `from trunnion import x` inside the host would load everything and hide the direction.
            assert own in {"testing", "launcher"}, where
        elif target != own:
            assert HEIGHT[target] < HEIGHT[own], where


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda p: p.name)
def test_a_plugin_imports_public_names_of_the_host_and_no_other_plugin(folder: Path) -> None:
    for path in modules(folder):
        for line, module, name in imports_of(path):
            where = f"{path.relative_to(ROOT)}:{line} imports {module} {name}"
            top, *rest = module.split(".")
            assert not (top.startswith("trunnion_") and top != folder.name), where
            if top == "trunnion":
                assert not any(part.startswith("_") for part in [*rest, name]), where


def test_the_judge_sees_what_it_must() -> None:
    source = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trunnion.host\nelse:\n    import a.b\n"
        "def f():\n    from trunnion.kernel import x\nfrom . import y\nfrom ..model import z\n"
    )
    found = [(module, name) for _, module, name in imports(ast.parse(source), "trunnion.config")]
    assert found == [
        ("typing", "TYPE_CHECKING"),
        ("a.b", ""),
        ("trunnion.kernel", "x"),
        ("trunnion.config", "y"),
        ("trunnion.model", "z"),
    ]
    assert HEIGHT["kernel"] > HEIGHT["config"]
    assert HEIGHT["config"] == HEIGHT["store"]
