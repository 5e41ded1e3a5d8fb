"""The process of one isolated handler: it imports the function, calls it, and says what became of it."""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import inspect
import pickle
import resource
import sys
import threading
from collections.abc import Awaitable
from types import ModuleType
from typing import cast

from trunnion.isolation.asking import Questions
from trunnion.isolation.context import Context
from trunnion.isolation.pipe import Pipe, take_over
from trunnion.isolation.standing_in import stand_in
from trunnion.isolation.wire import PIECE, RESULT_CAP, Answer, More, Part, Place, Raised, Returned, Start, Stop, Stopped
from trunnion.model.commands import Handler
from trunnion.model.errors import ErrorInfo, InternalError
from trunnion.model.handled import described, encoded_result, is_defect, is_stop
from trunnion.model.json import encode, valid_text

LONGEST = 1 << 20
"""Characters of a message or a traceback that go to the host, which keeps fewer."""


def main() -> None:
    """Serve the host at descriptors 0 and 1, once."""
    pipe = take_over()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # secret arguments are in this memory
    faulthandler.enable(file=2)
    start = pipe.hear()
    if not isinstance(start, Start):
        return
    questions = Questions(pipe)
    context = Context(start, pipe, questions)
    threading.Thread(target=_listen, args=(pipe, context, questions), name="trunnion-host", daemon=True).start()
    stand_in(context, start.log_level)
    try:
        value = _handle(start, context)
    except BaseException as error:
        context.finish()
        _say_raised(pipe, error)
    else:
        context.finish()
        _say_returned(pipe, value)


def _listen(pipe: Pipe, context: Context, questions: Questions) -> None:
    while (order := pipe.hear()) is not None:
        if isinstance(order, Stop):
            context.request_stop(order.reason)
        elif isinstance(order, Answer | More):
            questions.reply(order)


def _handle(start: Start, context: Context) -> object:
    handler = _found(start.place)
    args, names = pickle.loads(start.call)  # noqa: S301  # from the host alone, over a pipe of ours
    value = handler(*([context] if start.with_context else []), *args, **names)
    return _finished(value, context) if inspect.isawaitable(value) else value


def _finished(value: Awaitable[object], context: Context) -> object:
    import asyncio

    async def finished() -> object:
        context.cancelling(cast("asyncio.Task[object]", asyncio.current_task()))
        await asyncio.sleep(0)  # one that was cancelled before its first step never takes it
        return await value

    if context.cancelled and inspect.iscoroutine(value):
        value.close()
    return asyncio.run(finished())


def _found(place: Place) -> Handler:
    try:
        module = _loaded(place) if place.file else importlib.import_module(place.module)
        return cast(Handler, getattr(module, place.function))
    except Exception as error:
        name, why = f"{place.module}.{place.function}", f"{type(error).__name__}: {error}"
        raise InternalError(f"{name} cannot be imported in a process of its own: {why}") from error


def _loaded(place: Place) -> ModuleType:
    """A file under the name that its module has in the host, by which its types are known."""
    spec = importlib.util.spec_from_file_location(place.module, place.file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place.file} is not a Python file")
    module = sys.modules[place.module] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _say_returned(pipe: Pipe, value: object) -> None:
    encoded = b"" if value is None else encoded_result(value)
    if isinstance(encoded, bytes) and len(encoded) > RESULT_CAP:
        message = (
            f"the result has {len(encoded)} bytes, an isolated command's has at most {RESULT_CAP}: keep an artifact"
        )
        encoded = ErrorInfo("internal", message)
    if isinstance(encoded, ErrorInfo):
        pipe.say(Raised(encoded.code, valid_text(encoded.message[:LONGEST]), b"{}", "", None))
        return
    for at in range(0, len(encoded), PIECE):
        pipe.say(Part(encoded[at : at + PIECE]))
    pipe.say(Returned())


def _say_raised(pipe: Pipe, error: BaseException) -> None:
    if is_stop(error):
        pipe.say(Stopped())
        return
    code, message, details = described(error)
    facts, unfit = b"{}", ""
    try:
        facts = encode(details)
    except Exception:  # JSON has no form for them, whatever the reason
        unfit = ascii(details)[:LONGEST]
    trace = _trace(error) if is_defect(error) or isinstance(error, InternalError) else None
    pipe.say(Raised(code, valid_text(message[:LONGEST]), facts, unfit, trace))


def _trace(error: BaseException) -> str:
    import traceback

    text = valid_text("".join(traceback.format_exception(error)))
    return text if len(text) <= LONGEST else text[-LONGEST:].partition("\n")[2]  # half a line may hold half a secret
