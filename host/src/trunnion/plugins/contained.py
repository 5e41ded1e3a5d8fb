"""Calling a plugin's code so that whatever it does, the host goes on and can say who it was.

Each call runs in a thread of its own. So a plugin that never returns can be left behind, and a
``KeyboardInterrupt`` or ``SystemExit`` is certainly the plugin's: a person's Ctrl-C is only ever raised
in the main thread, where it ends the waiting as it should. This is why catching ``BaseException`` is
right here and nowhere else: no cancellation can arrive in that thread.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")
_log = logging.getLogger("trunnion.plugins")
_LONGEST = 500


class Patience(msgspec.Struct, frozen=True):
    """How long one call to a plugin may take, seconds: first it is named, then it is given up."""

    warn_after: float = 10.0
    give_up_after: float = 60.0


class PluginFailure(Exception):
    """A contained call failed; the text is one line that names the place and the reason."""


class _Outcome(Generic[T]):
    def __init__(self) -> None:
        self.values: list[T] = []
        self.error: BaseException | None = None
        self.done = threading.Event()


def contained(call: Callable[[], T], what: str, patience: Patience) -> T:
    """Run ``call`` in its own thread and return its value.

    Args:
        call: enters the plugin's code.
        what: names the plugin and the place, such as ``plugin 'web' in trunnion_commands``.
        patience: when to warn and when to give up.

    Raises:
        PluginFailure: it raised anything at all, or did not return in time. In the latter case its thread
            stays behind, as a daemon that does not keep the process.
    """
    outcome: _Outcome[T] = _Outcome()
    threading.Thread(target=_run, args=(call, outcome), name=f"load: {what}", daemon=True).start()
    if not outcome.done.wait(min(patience.warn_after, patience.give_up_after)):
        _log.warning("%s: still not done after %g s", what, patience.warn_after)
        if not outcome.done.wait(max(0.0, patience.give_up_after - patience.warn_after)):
            raise PluginFailure(f"{what}: did not return within {patience.give_up_after:g} s")
    if outcome.error is not None:
        _log.debug("%s failed", what, exc_info=outcome.error)
        raise PluginFailure(f"{what}: {one_line(outcome.error)}") from outcome.error
    return outcome.values[0]


def _run(call: Callable[[], T], outcome: _Outcome[T]) -> None:
    try:
        outcome.values.append(call())
    except BaseException as error:
        outcome.error = error
    finally:
        outcome.done.set()


def one_line(error: BaseException) -> str:
    """An exception as one short line: type, message and the line of code it came from."""
    try:
        text = " ".join(str(error).split())[:_LONGEST]
    except Exception:
        text = "(its message cannot be shown)"
    name = type(error).__name__
    return f"{name}: {text}{_raised_at(error)}" if text else f"{name}{_raised_at(error)}"


def _raised_at(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not frame.filename.startswith("<") and frame.filename != __file__]
    return f" ({Path(outside[-1].filename).name}:{outside[-1].lineno})" if outside else ""
