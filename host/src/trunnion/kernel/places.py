"""From what stands on a thread's stack to the plugin whose code it is."""

from __future__ import annotations

import inspect
import sys
from functools import lru_cache
from types import CodeType, FrameType

import msgspec

HOST = "trunnion"
DEEPEST = 12
"""Frames that are told of a stack, the innermost ones."""
_SUSPENDS = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE


class Spot(msgspec.Struct, frozen=True):
    """A line of code that was being executed.

    Attributes:
        plugin: whose it is, ``""`` where no plugin has that module.
        stack: ``file:line function`` from the innermost frame outwards, without what runs the loop; empty where
            the loop was at rest or inside a function that is not Python's.
    """

    plugin: str = ""
    file: str = ""
    line: int = 0
    function: str = ""
    stack: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else ""


class ModuleOwners:
    """Which plugin has which module."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    def add(self, plugin: str, module: str) -> None:
        """A plugin has code in a module; what else is in the same package is its own too, unless another has some."""
        while module and not is_ours(module):
            self._owners[module] = plugin if self._owners.get(module, plugin) == plugin else ""
            module = module.rpartition(".")[0]

    def owner(self, module: str) -> str:
        """The plugin of a module, ``""`` where there is none or more than one."""
        while module and module not in self._owners:
            module = module.rpartition(".")[0]
        return self._owners.get(module, "")

    def spot(self, frame: FrameType | None, below: CodeType | None) -> Spot:
        """What is to blame for a stack: its innermost frame of a plugin, else of a library, else at all.

        Args:
            frame: the innermost one; None where the thread is gone.
            below: the code that calls what the loop runs; None takes the whole stack.
        """
        frames = _above(frame, below)
        if not frames:
            return Spot()
        of_plugins = (f for f in frames if self.owner(_module(f)))
        foreign = (f for f in frames if not is_ours(_module(f)))
        chosen = next(of_plugins, None) or next(foreign, None) or frames[0]
        code = chosen.f_code
        return Spot(
            self.owner(_module(chosen)),
            code.co_filename,
            chosen.f_lineno,
            code.co_qualname,
            tuple(f"{f.f_code.co_filename}:{f.f_lineno} {f.f_code.co_qualname}" for f in frames[:DEEPEST]),
        )


@lru_cache(maxsize=4096)
def is_ours(module: str) -> bool:
    """Whether a module is the host's or Python's own."""
    top = module.partition(".")[0]
    return top == HOST or top in sys.stdlib_module_names


def loop_code() -> CodeType | None:
    """The code that calls everything the running loop runs, as seen from inside a task.

    That is ``Handle._run`` of asyncio's own loop; one that is not written in Python shows whoever started it.
    """
    found, frame = None, inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_flags & _SUSPENDS:
            found = frame.f_back
        frame = frame.f_back
    return found.f_code if found is not None else None


def outermost(frame: FrameType | None, below: CodeType | None) -> FrameType | None:
    """The frame that ``below`` called, None where it called none that is Python's."""
    frames = _above(frame, below)
    return frames[-1] if frames else None


def _above(frame: FrameType | None, below: CodeType | None) -> list[FrameType]:
    """The frames from the innermost one up to ``below``; none where the stack does not come from there."""
    found: list[FrameType] = []
    while frame is not None and frame.f_code is not below:
        found.append(frame)
        frame = frame.f_back
    return found if frame is not None or below is None else []


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "")
