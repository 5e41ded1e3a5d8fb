"""The doors that exist. A new one is a class here and a line in ``doors_of``."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Protocol

import msgspec
from doors_kit.call import FOLDER, Call
from doors_kit.outcome import Told, told_by_run
from doors_kit.served import PATIENCE, Served

from trunnion.launcher.main import run as trunnion
from trunnion.model.errors import ErrorInfo, TrunnionError
from trunnion.model.events import Event, decode_event, run_stream
from trunnion.model.runs import LocalDoor, Run
from trunnion.protocol.blocking import BlockingClient
from trunnion.protocol.client import Client
from trunnion_rpc.client import Client as RpcClient

PROGRAM = [sys.executable, "-c", "from trunnion.launcher.main import main; main()"]


class DoorUnderTest(Protocol):
    """One way to the host.

    Attributes:
        name: for people.
        source: what the host stamps on what comes by it.
        keyed: whether it can send an idempotency key.
    """

    name: str
    source: str
    keyed: bool

    def takes(self, call: Call) -> bool:
        """Whether this call can be said at this door at all, by this caller; see ``outcome.LEGITIMATE``."""

    def call(self, call: Call, key: str) -> Told:
        """Make the call, wait for its end, and say what the door says came of it."""


class InProcess:
    """A program that embeds the host, or a frontend in it: ``Door`` itself."""

    keyed = True

    def __init__(self, served: Served, source: str = "cli") -> None:
        self.name, self.source, self._served = f"in-process {source}", source, served

    def takes(self, call: Call) -> bool:
        return True

    def call(self, call: Call, key: str) -> Told:
        return self._served.do(self._call(call, key))

    async def _call(self, call: Call, key: str) -> Told:
        door, caller = self._served.host.door(self.source), self._served.caller(call.who, self.source)
        try:
            if call.kind == "query":
                return Told(result=await door.query(caller, call.name, call.args, argv=call.argv))
            run = await door.submit(caller, call.invocation(key))
            if call.cancel:
                await self._served.at_work(run.id)
                await door.cancel(caller, run.id)
            if not run.ended:
                run = await door.wait(caller, run.id)
            if not run.last_seq:
                return told_by_run(run)
            events = [e async for batch in door.follow(caller, run_stream(run.id)) for e in batch]
            return told_by_run(run, events)
        except TrunnionError as error:
            return Told(error=error.info)


class Socket:
    """The local socket by the asynchronous client: submit, follow, cancel, wait."""

    keyed = True

    def __init__(self, served: Served, source: LocalDoor = "cli") -> None:
        self.name, self.source, self._served = f"socket submit {source}", source, served

    def takes(self, call: Call) -> bool:
        return not call.who

    def call(self, call: Call, key: str) -> Told:
        return self._served.do(self._call(call, key))

    async def _call(self, call: Call, key: str) -> Told:
        async with Client(self._served.socket, door=self.source) as client:
            try:
                if call.kind == "query":
                    return Told(result=await client.query(call.name, call.args, argv=call.argv))
                run = await client.submit(call.invocation(key))
                if call.cancel:
                    await self._served.at_work(run.id)
                    await client.cancel(run.id)
                if run.ended:
                    return told_by_run(run)
                events = [event async for batch in client.follow(run_stream(run.id)) for event in batch]
                return told_by_run(await client.wait(run.id), events)
            except TrunnionError as error:
                return Told(error=error.info)


class SocketRun:
    """The local socket by the blocking client: one call that lasts as long as the run."""

    name, source, keyed = "socket run", "cli", True

    def __init__(self, served: Served) -> None:
        self._served = served

    def takes(self, call: Call) -> bool:
        return not call.who and not call.cancel

    def call(self, call: Call, key: str) -> Told:
        with BlockingClient(self._served.socket, timeout=PATIENCE) as client:
            try:
                if call.kind == "query":
                    argv = None if call.argv is None else list(call.argv)
                    return Told(result=client.call("query", {"query_id": call.name, "args": call.args, "argv": argv}))
                run = msgspec.convert(client.call("command.run", msgspec.structs.asdict(call.invocation(key))), Run)
                return told_by_run(run, _events_by_query(client, run) if run.last_seq else None)
            except TrunnionError as error:
                return Told(error=error.info)


def _events_by_query(client: BlockingClient, run: Run) -> list[Event]:
    page = client.call("runs.events", {"run_id": run.id})
    assert isinstance(page, dict)
    return [decode_event(msgspec.json.encode(item)) for item in page["items"]]


class SocketById:
    """The local socket with the command's or query's own id as the method."""

    name, source, keyed = "socket by id", "cli", False

    def __init__(self, served: Served) -> None:
        self._served = served

    def takes(self, call: Call) -> bool:
        by_name = call.argv is None and call.line is None
        plain = call.revision is None and call.timeout is None and not call.labels and call.cwd is None
        is_query = self._served.host.kernel.registry.query(call.name) is not None
        meant = is_query == (call.kind == "query") and 0 < len(call.name) <= 256
        return not call.who and by_name and plain and meant and not call.cancel

    def call(self, call: Call, key: str) -> Told:
        with BlockingClient(self._served.socket, timeout=PATIENCE) as client:
            try:
                return Told(result=client.call(call.name, call.args))
            except TrunnionError as error:
                return Told(error=error.info)


class Launcher:
    """``trunnion run --json`` and ``trunnion query --json``, in this process."""

    name, source, keyed = "trunnion --json", "cli", True

    def __init__(self, served: Served) -> None:
        self._served = served

    def takes(self, call: Call) -> bool:
        if call.who or call.argv is None or call.revision is not None or "--help" in call.argv:
            return False
        entry = self._served.host.kernel.registry.get(call.name)
        return call.cwd is not None or entry is None or not entry.parameters.files

    def call(self, call: Call, key: str) -> Told:
        if call.kind == "query":
            status, out, err = self._trunnion("query", "--json", *_named(call))
            return Told(result=json.loads(out)) if status == 0 else Told(error=_error(err), exit=status)
        if call.cancel:
            return self._cancelled(call, key)
        status, out, err = self._trunnion("run", "--json", *_options(call, key), *_named(call))
        return self._told(status, out, err)

    def _cancelled(self, call: Call, key: str) -> Told:
        status, out, err = self._trunnion("run", "--json", "--detach", *_options(call, key), *_named(call))
        if status:
            return self._told(status, out, err)
        run_id = json.loads(out)["id"]
        self._served.do(self._served.at_work(run_id))
        self._trunnion("runs", "cancel", "--json", run_id)
        self._trunnion("follow", "--json", f"run/{run_id}")
        status, out, err = self._trunnion("runs", "result", "--json", run_id)
        return self._told(status, out, err)

    def _told(self, status: int, out: str, err: str) -> Told:
        if not out:
            return Told(error=_error(err), exit=status)
        run = msgspec.json.decode(out, type=Run)
        if not run.last_seq:
            return told_by_run(run, exit=status)
        lines = self._trunnion("follow", "--json", f"run/{run.id}")[1].split("\n")[:-1]
        return told_by_run(run, [decode_event(line.encode()) for line in lines], status)

    def _trunnion(self, *words: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(FOLDER), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = trunnion(["--data-dir", str(self._served.host.data.root), *words])
        return status, out.getvalue(), err.getvalue()


class LauncherWords(Launcher):
    """``trunnion run`` and ``trunnion query`` for a person: an exit status, and words."""

    name = "trunnion"

    def takes(self, call: Call) -> bool:
        return super().takes(call) and not call.cancel and "--json" not in (call.argv or ())

    def call(self, call: Call, key: str) -> Told:
        verb = ["query"] if call.kind == "query" else ["run", *_options(call, key)]
        status, _, err = self._trunnion(*verb, *_named(call))
        return Told(exit=status, words=err)


class LauncherProcess(Launcher):
    """The same as a process of its own."""

    name = "trunnion, a process"

    def takes(self, call: Call) -> bool:
        return super().takes(call) and not any("\0" in word for word in (call.name, *(call.argv or ())))

    def _trunnion(self, *words: str) -> tuple[int, str, str]:
        dropped = ("TRUNNION", "_TRUNNION", "PYTHONDONTWRITEBYTECODE")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        root = self._served.host.data.root
        done = subprocess.run(
            [*PROGRAM, "--data-dir", str(root), *words], check=False, capture_output=True, text=True,
            timeout=PATIENCE, env=environment, cwd=FOLDER, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr


class Rpc:
    """gRPC by its own client: submit, follow, cancel, wait."""

    keyed = True

    def __init__(self, served: Served) -> None:
        self.name, self.source, self._served = "gRPC submit", "rpc", served

    def takes(self, call: Call) -> bool:
        """Strings of its messages are Unicode, and there is no folder at this door."""
        said = [call.name, call.args, call.argv, call.line, call.labels]
        return bool(call.who) and call.cwd is None and _is_text(said)

    def call(self, call: Call, key: str) -> Told:
        self._served.forgive()
        return self._served.do(self._call(call, key))

    async def _call(self, call: Call, key: str) -> Told:
        async with RpcClient(self._served.rpc_socket, token=self._served.tokens[call.who]) as client:
            try:
                if call.kind == "query":
                    return Told(result=await client.query(call.name, call.args, argv=call.argv))
                run = await client.submit(call.invocation(key))
                if call.cancel:
                    await self._served.at_work(run.id)
                    await client.cancel(run.id)
                if run.ended:
                    return told_by_run(run)
                events = [event async for batch in client.follow(run_stream(run.id)) for event in batch]
                return told_by_run(await client.wait(run.id), events)
            except TrunnionError as error:
                return Told(error=error.info)


class RpcRun(Rpc):
    """gRPC in one call that lasts as long as the run."""

    def __init__(self, served: Served) -> None:
        super().__init__(served)
        self.name = "gRPC run"

    def takes(self, call: Call) -> bool:
        return super().takes(call) and not call.cancel

    async def _call(self, call: Call, key: str) -> Told:
        async with RpcClient(self._served.rpc_socket, token=self._served.tokens[call.who]) as client:
            try:
                if call.kind == "query":
                    return Told(result=await client.query(call.name, call.args, argv=call.argv))
                return told_by_run(await client.run(call.invocation(key)))
            except TrunnionError as error:
                return Told(error=error.info)


def _is_text(value: object) -> bool:
    try:
        msgspec.json.encode(value).decode()
    except (UnicodeError, ValueError, TypeError):
        return False
    return True


def _options(call: Call, key: str) -> Iterator[str]:
    yield from ("--key", key)
    if call.timeout is not None:
        yield from ("--timeout", repr(call.timeout))
    for name, value in call.labels.items():
        yield from ("--label", f"{name}={value}")


def _named(call: Call) -> list[str]:
    """Name and words; a name that looks like an option needs ``--`` before it."""
    return [*(["--"] if call.name.startswith("-") else []), call.name, *(call.argv or ())]


def _error(text: str) -> ErrorInfo:
    return msgspec.json.decode(text.split("\n", maxsplit=1)[0], type=ErrorInfo)


def doors_of(served: Served) -> list[DoorUnderTest]:
    """Every door, the one that all others are compared with first. New doors join here."""
    return [
        InProcess(served),
        InProcess(served, "tty"),
        Socket(served),
        Socket(served, "tty"),
        SocketRun(served),
        SocketById(served),
        Launcher(served),
        LauncherWords(served),
    ]


def remote_doors_of(served: Served) -> list[DoorUnderTest]:
    """Doors for strangers, who show a credential; operations are exposed to all of them alike or to some."""
    return [InProcess(served, "web"), InProcess(served, "rpc"), Rpc(served), RpcRun(served)]
