"""Arguments: from a typed signature or a JSON Schema to one schema, one validation, one parser, one completion.

Each name is imported when it is first used: who takes a line apart needs no validator.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunnion.arguments.argv import ArgvShape, looks_like_option
    from trunnion.arguments.begun import Begun
    from trunnion.arguments.binding import Bound
    from trunnion.arguments.completion import Completion
    from trunnion.arguments.hints import Secret
    from trunnion.arguments.line import Scan, Word, join_line, scan_line, split_line
    from trunnion.arguments.parameters import Parameters, compile_parameters

_MODULES = {
    "argv": ("ArgvShape", "looks_like_option"),
    "begun": ("Begun",),
    "binding": ("Bound",),
    "completion": ("Completion",),
    "hints": ("Secret",),
    "line": ("Scan", "Word", "join_line", "scan_line", "split_line"),
    "parameters": ("Parameters", "compile_parameters"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ArgvShape",
    "Begun",
    "Bound",
    "Completion",
    "Parameters",
    "Scan",
    "Secret",
    "Word",
    "compile_parameters",
    "join_line",
    "looks_like_option",
    "scan_line",
    "split_line",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'trunnion.arguments' has no attribute {name!r}")
    return getattr(import_module(f"trunnion.arguments.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
