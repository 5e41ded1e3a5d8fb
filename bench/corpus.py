"""Made-up history: runs as a team would make them, and the lines a service writes. The same at every call."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from trunnion.kernel.ids import new_id
from trunnion.model.errors import ErrorInfo
from trunnion.model.events import Event, run_stream
from trunnion.model.runs import Run
from trunnion.model.status import Status

SEED = 20261121
START = 1_790_000_000_000_000
COMMANDS = tuple(
    f"{console}.{name}"
    for console in ("device.plc1", "device.plc2", "scripts", "reports", "db")
    for name in ("read", "write", "backup", "sync", "check", "list", "export", "restart")
)
CALLERS = tuple((who, door) for who in ("ana", "ben", "carl", "dora", "emil") for door in ("cli", "web", "rpc"))
PATHS = ("/v1/orders", "/v1/orders/{}", "/v1/users/{}/sessions", "/healthz", "/v1/stock/{}", "/v1/invoices/{}/lines")
SERVICES = ("gateway", "orders", "stock", "billing")


def runs(count: int, first: int = 1) -> Iterator[Run]:
    """Ended runs numbered from ``first`` on: one in fifty failed, a third in sessions, some with a parent."""
    dice = random.Random(SEED + first)
    parent: str | None = None
    for number in range(first, first + count):
        who, door = dice.choice(CALLERS)
        status: Status = "failed" if dice.random() < 0.02 else "succeeded"
        created = START + number * 1_000_000
        run = Run(
            id=new_id(),
            num=number,
            command_id=dice.choice(COMMANDS),
            command_revision="6f1d3a2b9c8e7f60",
            status=status,
            created=created,
            principal=who,
            source=door,
            args={"device": f"press-{dice.randrange(20)}", "address": dice.randrange(65_536)},
            args_digest=f"{dice.getrandbits(256):064x}",
            decision=f"role admin at {door}",
            session_id=f"session-{number // 60}" if number % 3 == 0 else None,
            parent_run_id=parent if dice.random() < 0.1 else None,
            owner="019b0000-0000-7000-8000-000000000000",
            started=created + 150,
            finished=created + dice.randrange(500, 5_000_000),
            result={"value": dice.randrange(10_000)} if status == "succeeded" else None,
            error=ErrorInfo("failed", "TimeoutError: the device did not answer") if status == "failed" else None,
            last_seq=2,
        )
        parent = run.id if run.parent_run_id is None else parent
        yield run


def lines(count: int) -> Iterator[str]:
    """Lines of a service's log, about a hundred bytes each, with ids and times that do not repeat."""
    dice = random.Random(SEED)
    clock = 0
    for _ in range(count):
        clock += dice.randrange(1, 400)
        seconds, thousandths = divmod(clock, 1000)
        stamp = f"2026-11-20T{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{thousandths:03d}Z"
        level = "WARN" if dice.random() < 0.03 else "INFO"
        path = dice.choice(PATHS).format(dice.randrange(100_000))
        status = 503 if level == "WARN" else dice.choice((200, 200, 200, 201, 204, 304, 404))
        yield (
            f"{stamp} {level} {dice.choice(SERVICES)} req={dice.getrandbits(32):08x} "
            f"GET {path} {status} {dice.randrange(1, 900)}ms user=u{dice.randrange(5000)}"
        )


def events(run: Run, count: int, kind: str) -> Iterator[Event]:
    """Events of one run that carry those lines one by one: ``text`` as output is kept, ``log`` as ctx.log makes it."""
    stream, nothing = run_stream(run.id), msgspec.Raw(b"null")
    for seq, line in enumerate(lines(count), 1):
        raw = msgspec.Raw(b'{"first_line":%d,"lines":1,"channel":"stdout"}' % seq) if kind == "text" else nothing
        yield Event(stream, seq, run.created + seq * 997, kind, "info", "handler", line + "\n" * (kind == "text"), raw)
