"""Running a host's loop to its end, whatever handlers do to it."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")
log = logging.getLogger("trunnion.loop")
YOUNG = 10_000
"""Objects made and not gone again before the collector of cyclic garbage looks at them."""


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of the kind the host prefers: uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


STARTING = 100_000
"""The same while a host starts: what it loads then is there to stay."""


def spare_start() -> None:
    """Keep the collector of cyclic garbage from looking through what a start loads, again and again, for nothing.

    For a process that is a host and nothing else; ``tune_collector`` says what holds once it is up.
    """
    gc.set_threshold(STARTING, 20, 20)


def tune_collector() -> None:
    """Set the collector of cyclic garbage for a process that is a host and nothing else, once it is up.

    A run takes some forty objects that refer to others and leaves no circle behind, so at the default of 700
    the collector looks through everything young at nearly every turn of a busy loop, for nothing. What the
    start has loaded stays, so it is not looked through at all. A program that embeds a host decides for itself.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)


def run(main: Coroutine[object, object, T], new_loop: Callable[[], asyncio.AbstractEventLoop] = new_loop) -> T:
    """Run ``main`` to its end.

    ``sys.exit`` in a task that a handler made itself breaks out of the loop; the loop is entered again
    and the task named. Only ``main``'s own SystemExit or KeyboardInterrupt ends it.
    """
    loop = new_loop()
    try:
        asyncio.set_event_loop(loop)
        task = loop.create_task(main, name="host")
        while True:
            try:
                return loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                if task.done():
                    raise
                log.error("%s escaped from %s; the host goes on", type(error).__name__, _culprits(error))
    finally:
        _finish(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _culprits(error: BaseException) -> str:
    """Where it came from, for the log: the innermost frame of its traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "a task of its own"
    code = trace.tb_frame.f_code
    return f"a task in {code.co_qualname} ({code.co_filename}:{trace.tb_lineno})"


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left, so that nothing is reported as never awaited; give each one turn to end."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=1.0))
    loop.run_until_complete(loop.shutdown_asyncgens())
