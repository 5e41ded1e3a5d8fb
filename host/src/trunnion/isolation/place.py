"""Where another process finds a handler: a function is not sent there, it is imported."""

from __future__ import annotations

import inspect
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from trunnion.isolation.wire import Place
from trunnion.model.commands import Handler
from trunnion.model.errors import InvalidArguments


def place_of(handler: Handler) -> Place:
    """Where a handler is found.

    Raises:
        InvalidArguments: no other process could find it; the message says why, and what to do.
    """
    name = getattr(handler, "__qualname__", type(handler).__qualname__)
    if not inspect.isfunction(handler):
        raise _refusal(name, "it is no plain function", "give a function of a module")
    if name == "<lambda>":
        raise _refusal(name, "a lambda has no name to find it by", "write it as a function of a module")
    if "<locals>" in name:
        raise _refusal(name, "it exists only while the function around it runs", "move it to the top of its module")
    if "." in name:
        raise _refusal(name, "it belongs to a class", "move it to the top of its module")
    if handler.__module__ == "__main__":
        raise _refusal(name, "it is in the program's own file", "move it to a module that can be imported")
    module = sys.modules.get(handler.__module__)
    if module is None or getattr(module, name, None) is not handler:
        raise _refusal(name, f"{handler.__module__}.{name} is something else", "let it keep its name in its module")
    return Place(handler.__module__, name, _file_to_load(module, name))


def _file_to_load(module: ModuleType, name: str) -> str:
    """``""`` for a module that is found by its name, the file of one that stands by itself."""
    root, _, rest = module.__name__.partition(".")
    file = getattr(module, "__file__", None)
    found = PathFinder.find_spec(root)
    if rest or file is None:
        if found is None and root not in sys.builtin_module_names:
            raise _refusal(name, f"its module {module.__name__} cannot be imported by name", "install its package")
        return ""
    if found is not None and found.origin is not None and _same(found.origin, file):
        return ""
    return str(Path(file).absolute())


def _same(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def _refusal(name: str, why: str, instead: str) -> InvalidArguments:
    return InvalidArguments(f"{name} cannot run with isolate='process': {why}; {instead}", {"handler": name})
