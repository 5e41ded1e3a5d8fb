"""Every hook is typed, documented, called by the host, and in the reference with its exact parameters."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import trunnion
from trunnion import hookspecs
from trunnion.plugins.hooks import CALLS, ITEMS

ROOT = Path(__file__).resolve().parents[2]
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("trunnion_") and callable(hook)}


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_typed_and_documented(name: str) -> None:
    hook: Callable[..., object] = HOOKS[name]
    signature = inspect.signature(hook)
    assert len(inspect.getdoc(hook) or "") > 20
    assert name in CALLS or str(signature.return_annotation).startswith("Iterable[")
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        assert parameter.default is inspect.Parameter.empty


@pytest.mark.parametrize("name", ITEMS)
def test_a_hook_takes_what_the_host_gives(name: str) -> None:
    expected = [] if name in {"trunnion_settings", "trunnion_cli"} else ["settings"]
    assert list(inspect.signature(HOOKS[name]).parameters) == expected
    item = str(inspect.signature(HOOKS[name]).return_annotation)
    assert item == f"Iterable[{ITEMS[name].__name__}]"


def test_a_hook_that_answers_a_question_takes_the_question() -> None:
    signature = inspect.signature(HOOKS["trunnion_authorize"])
    assert {name: str(p.annotation) for name, p in signature.parameters.items()} == {"request": "AuthorizeRequest"}
    assert str(signature.return_annotation) == "Deny | None"


def test_the_host_asks_for_every_hook_and_no_other() -> None:
    assert set(ITEMS) | CALLS == set(HOOKS)
    assert not set(ITEMS) & CALLS


def test_what_hooks_take_and_return_can_be_imported_from_trunnion() -> None:
    words = {word for hook in HOOKS.values() for word in re.findall(r"[A-Z]\w+", str(inspect.signature(hook)))}
    assert words - {"Mapping", "Iterable", "None"} <= set(trunnion.__all__)


@pytest.mark.parametrize("page", ["hooks.md", "configuration.md", "audit.md", "rpc.md"])
def test_pages_made_from_the_code_are_current(page: str) -> None:
    made: str = tool("write_docs").PAGES[page]()
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == made, "run: make docs"
