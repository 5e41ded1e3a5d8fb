"""The differential test notices each kind of difference: one is planted at one door, and it must be told."""

from __future__ import annotations

import contextvars
from collections.abc import Callable

import msgspec
import pytest
from doors_kit.call import Call
from doors_kit.doors import InProcess, Launcher, LauncherWords, Socket, SocketById, SocketRun
from doors_kit.served import Served
from doors_kit.trial import Trial

from trunnion.kernel.entries import CommandEntry
from trunnion.launcher import attend, failures, following, running
from trunnion.model.events import Event
from trunnion.model.runs import Invocation, Run
from trunnion.protocol import connection, methods
from trunnion.protocol.client import Client

by_socket: contextvars.ContextVar[bool] = contextvars.ContextVar("by_socket", default=False)
Plant = Callable[[pytest.MonkeyPatch], None]


def no_validator(patch: pytest.MonkeyPatch) -> None:
    """The socket's calls skip the command's own validator."""
    submit, validate = connection.Connection.submit, CommandEntry.validate

    async def marked(self: connection.Connection, *args: object, **kwargs: object) -> Run:
        by_socket.set(True)
        return await submit(self, *args, **kwargs)  # type: ignore[arg-type]

    def sometimes(self: CommandEntry, bound: object) -> None:
        if not by_socket.get():
            validate(self, bound)  # type: ignore[arg-type]

    patch.setattr(connection.Connection, "submit", marked)
    patch.setattr(CommandEntry, "validate", sometimes)


def labels_lost(patch: pytest.MonkeyPatch) -> None:
    """What the record should say is dropped on the way."""
    whole = methods.SubmitParams.invocation

    def less(self: methods.SubmitParams) -> Invocation:
        return msgspec.structs.replace(whole(self), labels={})

    patch.setattr(methods.SubmitParams, "invocation", less)


def event_cut(patch: pytest.MonkeyPatch) -> None:
    """A client shows less of an event than there is."""
    follow = Client.follow

    async def shorter(self: Client, *args: object, **kwargs: object) -> object:
        async for batch in follow(self, *args, **kwargs):  # type: ignore[arg-type]
            yield [_cut(event) for event in batch]

    patch.setattr(Client, "follow", shorter)


def _cut(event: Event) -> Event:
    return msgspec.structs.replace(event, text=event.text.rstrip())


def code_changed(patch: pytest.MonkeyPatch) -> None:
    """One door has a code of its own."""
    plain = methods.RunFailed.info.fget
    patch.setattr(
        methods.RunFailed, "info", property(lambda self: msgspec.structs.replace(plain(self), code="internal"))
    )  # type: ignore[misc]


def exit_changed(patch: pytest.MonkeyPatch) -> None:
    """The process ends with a status of its own."""
    for module in (attend, failures, following):
        for name in ("exit_status", "run_status"):
            if hasattr(module, name):
                patch.setattr(module, name, lambda *_: 1)


def result_changed(patch: pytest.MonkeyPatch) -> None:
    """A result is rounded on its way."""
    told = attend.plain

    def rounded(value: object) -> object:
        shown = told(value)
        return {**shown, "result": None} if isinstance(shown, dict) and "result" in shown else shown

    for module in (attend, running):
        patch.setattr(module, "plain", rounded)


def twice(patch: pytest.MonkeyPatch) -> None:
    """One door does it twice."""
    run_to_end = methods._run_to_end

    async def again(line: object, invocation: Invocation, *, tied: bool) -> Run:
        if invocation.idempotency_key is None:
            await run_to_end(line, invocation, tied=tied)  # type: ignore[arg-type]
        return await run_to_end(line, invocation, tied=tied)  # type: ignore[arg-type]

    patch.setattr(methods, "_run_to_end", again)


SAY = Call(name="d.say", args={"text": "a b ", "times": 2}, labels={})
PLANTS: dict[str, tuple[Plant, type, Call, str]] = {
    "a validator skipped": (no_validator, Socket, Call(name="d.between", args={"low": 9}), "code: "),
    "labels lost": (labels_lost, SocketRun, msgspec.structs.replace(SAY, labels={"a": "b"}), "record: "),
    "an event cut": (event_cut, Socket, SAY, "events: "),
    "another code": (code_changed, SocketById, Call(name="d.end", args={"how": "conflict"}), "code: "),
    "another exit status": (exit_changed, LauncherWords, Call(name="d.end", argv=("conflict",)), "exit status: "),
    "another result": (result_changed, Launcher, Call(name="d.words", argv=("a",)), "tells of a run otherwise"),
    "done twice": (twice, SocketById, SAY, "record: "),
}


@pytest.mark.parametrize("name", PLANTS)
def test_i4_without_the_defence_a_difference_is_told(
    served: Served, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plant, door, call, expected = PLANTS[name]
    trial = Trial(served, [InProcess(served), door(served)])
    assert trial.differences(call) == []
    plant(monkeypatch)
    assert any(expected in line for line in _differences(trial, call))


def _differences(trial: Trial, call: Call) -> list[str]:
    try:
        return trial.differences(call)
    except AssertionError as told:
        return [str(told)]


def test_a_door_that_is_never_compared_is_noticed(served: Served) -> None:
    trial = Trial(served, [InProcess(served), SocketById(served)])
    trial.differences(Call(name="d.say", argv=("a",)))
    with pytest.raises(AssertionError, match="socket by id"):
        trial.check_not_vacuous(set())
