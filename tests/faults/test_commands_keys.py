"""I9: an idempotency key is one call of one person: anything else under it is a conflict, another's key is nobody's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest
from commands_kit import Open, opener

from trunnion import Caller, Command, Conflict, Host, Invocation
from trunnion.access.directory import Directory
from trunnion.arguments import Secret
from trunnion.hookspecs import hookimpl
from trunnion.kernel import admission
from trunnion.model.access import Principal
from trunnion.model.errors import TrunnionError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def start(tmp_path: Path) -> Open:
    return opener(tmp_path)


def pay(amount: int = 1, *, code: Annotated[str, Secret()] = "") -> int:
    """Pay."""
    return amount


def payments() -> object:
    """Two commands people may have with the same arguments."""

    @hookimpl
    def trunnion_commands() -> list[Command]:
        remote = frozenset({"web"})
        return [
            Command.of(pay, console="t", name=name, role="viewer", lock=None, expose=remote) for name in ("pay", "tip")
        ]

    return SimpleNamespace(trunnion_commands=trunnion_commands)


SAME = {"command_id": "t.pay", "args": {"amount": 5, "code": "s3cret-code"}}
OTHERS = {
    "another amount": {**SAME, "args": {"amount": 6, "code": "s3cret-code"}},
    "another secret": {**SAME, "args": {"amount": 5, "code": "s3cret-c0de"}},
    "no secret": {**SAME, "args": {"amount": 5}},
    "as words": {"command_id": "t.pay", "argv": ("--amount=7", "--code=s3cret-code")},
    "another command": {**SAME, "command_id": "t.tip"},
}


@pytest.mark.parametrize("asked", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("when", ["while it is admitted", "after its end", "after a restart"])
async def test_i9_a_key_with_anything_else_is_a_conflict(start: Open, asked: dict[str, object], when: str) -> None:
    async with start(pays=payments()) as host:
        door, ann = host.door("cli"), host.local_caller()
        first = asyncio.create_task(door.submit(ann, Invocation(**SAME, idempotency_key="k")))
        if when == "while it is admitted":
            await asyncio.sleep(0)  # its first step, no more
            assert not first.done()
            await _conflicts(host, asked)
        run = await first
        await door.wait(ann, run.id)
        if when == "after its end":
            await _conflicts(host, asked)
    async with start(pays=payments()) as host:
        await _conflicts(host, asked)
        assert await _runs(host) == [run.id]
        again = await host.door("tty").submit(host.local_caller("tty"), Invocation(**SAME, idempotency_key="k"))
        assert again.id == run.id


async def _conflicts(host: Host, asked: dict[str, object]) -> None:
    with pytest.raises(Conflict, match="idempotency key 'k'") as refused:
        await host.door("cli").submit(host.local_caller(), Invocation(**asked, idempotency_key="k"))
    assert "s3cret" not in repr((refused.value.message, refused.value.details))


async def _runs(host: Host) -> list[str]:
    page = await host.door("cli").query(host.local_caller(), "runs.list", {})
    return [item["id"] for item in page["items"]]


async def test_i9_keys_are_per_user(start: Open) -> None:
    """Another's key gets no run of another, and says nothing about there being one."""
    people = [Principal(name=name, role="operator", has_password=True) for name in ("ann", "bob")]
    async with start(pays=payments()) as host:
        host.kernel.policy.replace(Directory(principals=people))
        door = host.door("web")
        ann, bob = (Caller(person.name, "web", "viewer", (), "password") for person in people)
        one = await door.submit(ann, Invocation(**SAME, idempotency_key="k"))
        other = await door.submit(bob, Invocation(**OTHERS["another amount"], idempotency_key="k"))
        same = await door.submit(bob, Invocation(**OTHERS["another amount"], idempotency_key="k"))
        assert one.id != other.id == same.id
        assert [(run.principal, run.args["amount"]) for run in (one, other)] == [("ann", 5), ("bob", 6)]
        await door.wait(ann, one.id)
        with pytest.raises(TrunnionError) as refused:
            await door.wait(bob, one.id, 1)
        assert refused.value.code == "not_found"


async def test_i9_without_the_fault_the_same_call_is_the_same_run(start: Open) -> None:
    async with start(pays=payments()) as host:
        door, ann = host.door("cli"), host.local_caller()
        runs = [await door.submit(ann, Invocation(**SAME, idempotency_key="k")) for _ in range(3)]
        assert await _runs(host) == [runs[0].id]
    assert len({run.id for run in runs}) == 1


async def test_i9_without_the_defence_another_call_is_taken_for_it(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_same", lambda *_: None)
    async with start(pays=payments()) as host:
        await host.door("cli").submit(host.local_caller(), Invocation(**SAME, idempotency_key="k"))
        with pytest.raises(pytest.fail.Exception):
            await _conflicts(host, OTHERS["another amount"])
