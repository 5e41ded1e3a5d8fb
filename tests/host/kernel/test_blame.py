"""Who is slow, raises or misses a deadline beside the runs is counted by plugin, with the last reason and its place."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from kernel_kit import ANN, FakeClock, Plugin, Rig, cmd, rig, until

from trunnion.hookspecs import hookimpl
from trunnion.host import Host, HostOptions
from trunnion.kernel import gates as gates_module
from trunnion.kernel import observers as observers_module
from trunnion.launcher.look import _trouble
from trunnion.model.contributions import (
    Admission,
    Allow,
    AuthorizeRequest,
    Daemon,
    Deny,
    Gate,
    Observer,
    Provider,
    Setting,
)
from trunnion.model.errors import Unavailable
from trunnion.model.events import Event
from trunnion.model.runs import Caller

VIEWER = Caller("vic", "rpc", "viewer")


class Oven:
    pass


def trouble(on: Rig, plugin: str = "p") -> dict[str, object]:
    return dict(on.kernel.blame.shown(plugin) or {})


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return 1 + next(number for number, line in enumerate(lines) if line.strip() == text)


async def noop() -> None:
    pass


def gate(admit: Callable[[Sequence[Admission]], object], deadline: float = 5.0) -> dict[str, list[object]]:
    return {"gates": [Gate(name="g", admit=admit, deadline=deadline)]}  # type: ignore[arg-type]


# -- gates ----------------------------------------------------------------------------------------


async def test_a_gate_that_raises(tmp_path: Path) -> None:
    async def admit(asked: Sequence[Admission]) -> list[Allow]:
        raise OSError("the gate is stuck")

    async with rig(tmp_path, noop, plugin=gate(admit)) as on:
        with pytest.raises(Unavailable):
            await on.submit("t.noop")
        found = trouble(on)
        assert (found["raised"], found["missed"], found["slow"]) == (1, 0, 0)
        assert found["reason"] == "gate 'g' raised OSError"
        line = line_of('raise OSError("the gate is stuck")')
        assert found["place"] == f"test_blame.py:{line}"


async def test_a_gate_that_answers_nonsense_or_not_in_time(tmp_path: Path) -> None:
    answers = [[], asyncio.Event()]

    async def admit(asked: Sequence[Admission]) -> object:
        answer = answers.pop(0)
        return answer if isinstance(answer, list) else await answer.wait()

    async with rig(tmp_path, noop, plugin=gate(admit, 0.05)) as on:
        for _ in range(2):
            with pytest.raises(Unavailable):
                await on.submit("t.noop")
        found = trouble(on)
        assert (found["raised"], found["missed"]) == (1, 1)
        assert found["reason"] == "gate 'g' was not done within 0.05 s"
        assert found["summary"] == "raised 1, missed 1"


async def test_a_slow_gate_is_told_of_once_and_then_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates_module, "AWAITED", 0.0)
    clock = FakeClock()

    async def admit(asked: Sequence[Admission]) -> list[Allow]:
        return [Allow()] * len(asked)

    async with rig(tmp_path, noop, plugin=gate(admit), clock=clock) as on:
        for _ in range(5):
            await on.run("t.noop")
        assert trouble(on)["slow"] == 5
        assert (await on.codes()).count("plugin.slow") == 1
        clock.advance(10)
        slow = [e for e in await on.host_events() if e.kind == "log" and e.data["code"] == "plugin.slow"]
        assert [e.data.get("count") for e in slow] == [None, 4]
        assert slow[0].level == "warning"
        assert "gate 'g' of plugin 'p' took" in slow[0].text


async def test_what_is_in_order_is_not_blamed(tmp_path: Path) -> None:
    seen: list[Event] = []

    async def admit(asked: Sequence[Admission]) -> list[Allow]:
        return [Allow()] * len(asked)

    async def on_events(events: Sequence[Event]) -> None:
        seen.extend(events)

    more = {**gate(admit), "observers": [Observer(name="o", on_events=on_events)]}
    async with rig(tmp_path, cmd(noop, validate=lambda values: None), plugin=more) as on:
        await on.run("t.noop")
        await until(lambda: seen)
        assert trouble(on) == {}
        assert on.kernel.blame.generation == 0
        answer = await on.door.query(ANN, "host.plugins", {})
        assert all("trouble" not in item for item in answer["items"])


# -- observers ------------------------------------------------------------------------------------


async def test_an_observer_that_raises_and_one_that_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers_module, "BEHIND", 0.0)
    monkeypatch.setattr(observers_module, "FIRST_DELAY", 0.001)
    errors = [ValueError("not these"), SystemExit(3)]

    async def on_events(events: Sequence[Event]) -> None:
        if errors:
            raise errors.pop(0)

    async with rig(tmp_path, noop, plugin={"observers": [Observer(name="o", on_events=on_events)]}) as on:
        await on.run("t.noop")
        await until(lambda: trouble(on).get("slow"))
        assert trouble(on)["raised"] == 2
        assert "observer 'o' took" in trouble(on)["reason"]


# -- hooks ----------------------------------------------------------------------------------------


class Judge:
    """Says what it is told to."""

    def __init__(self, answer: Callable[[AuthorizeRequest], object]) -> None:
        self._answer = answer

    @hookimpl
    def trunnion_authorize(self, request: AuthorizeRequest) -> object:
        return self._answer(request)


async def test_an_authorizer_that_raises_or_answers_nonsense(tmp_path: Path) -> None:
    answers: list[object] = [KeyError("who"), "no", None]

    def answer(request: AuthorizeRequest) -> object:
        found = answers.pop(0) if request.target == "t.noop" else None
        if isinstance(found, Exception):
            raise found
        return found

    async with rig(tmp_path, noop, more_plugins={"judge": Judge(answer)}) as on:
        for _ in range(2):
            with pytest.raises(Exception, match="judge"):
                await on.submit("t.noop")
        await on.run("t.noop")
        found = trouble(on, "judge")
        assert (found["raised"], found["slow"]) == (2, 0)
        assert found["reason"] == "trunnion_authorize raised TypeError"


async def test_a_no_is_no_fault(tmp_path: Path) -> None:
    def answer(request: AuthorizeRequest) -> object:
        return Deny("not today") if request.target == "t.noop" else None

    async with rig(tmp_path, noop, more_plugins={"judge": Judge(answer)}) as on:
        with pytest.raises(Exception, match="not today"):
            await on.submit("t.noop")
        assert trouble(on, "judge") == {}


async def test_a_validator_that_raises_is_told_of_and_a_flood_of_it_counted(tmp_path: Path) -> None:
    clock = FakeClock()

    def validate(values: object) -> None:
        raise LookupError("no such shelf")

    async with rig(tmp_path, cmd(noop, validate=validate), clock=clock) as on:
        for _ in range(300):
            with pytest.raises(Exception, match="validator"):
                await on.submit("t.noop")
        assert trouble(on)["raised"] == 300
        assert trouble(on)["place"].startswith("test_blame.py:")
        assert (await on.codes()).count("plugin.raised") == 1
        clock.advance(10)
        told = [e for e in await on.host_events() if e.kind == "log" and e.data["code"] == "plugin.raised"]
        assert [e.data.get("count") for e in told] == [None, 299]
        assert "no such shelf" in on.host.data.host_log.read_text(), "the traceback is in the log"


@pytest.mark.alone
async def test_a_slow_validator_is_the_watchdogs_to_name(tmp_path: Path) -> None:
    """It keeps the whole loop waiting, so it is named with the line it is at."""

    def validate(values: object) -> None:
        time.sleep(0.5)  # this line

    async with rig(tmp_path, cmd(noop, validate=validate), settings={"host.lag_limit": 0.1}) as on:
        await on.run("t.noop")
        await until(lambda: trouble(on).get("blocked"))
        assert trouble(on)["place"] == f"test_blame.py:{line_of('time.sleep(0.5)  # this line')}"


async def test_providers_that_fail_are_late_or_give_nothing(tmp_path: Path) -> None:
    class Grill:
        pass

    class Sink:
        pass

    async def burns(handle: object) -> Oven:
        raise OSError("it burns")

    async def waits(handle: object) -> Grill:
        await asyncio.Event().wait()
        return Grill()

    async def nothing(handle: object) -> None:
        return None

    providers = [
        Provider(type=Oven, open=burns),
        Provider(type=Grill, open=waits, start_timeout=0.05),
        Provider(type=Sink, open=nothing),  # type: ignore[arg-type]
    ]
    async with rig(tmp_path, noop, plugin={"providers": providers}) as on:
        found = trouble(on)
        assert (found["raised"], found["missed"]) == (2, 1)
        assert "Sink opened no object" in found["reason"]


class Follower(Plugin):
    """Follows its settings, not very well."""

    @hookimpl
    def trunnion_settings(self) -> list[Setting]:
        return [Setting(key="size", schema={"type": "integer", "default": 1}, reload="live")]


async def test_a_follower_of_settings_that_raises(tmp_path: Path) -> None:
    async def serve(handle: object, ready: Callable[[], None]) -> None:
        handle.on_settings(follow)  # type: ignore[attr-defined]
        ready()
        await asyncio.Event().wait()

    def follow(section: object) -> None:
        raise ArithmeticError(str(section))

    config = tmp_path / "trunnion.toml"
    config.write_text("[words]\nsize = 1\n")
    options = HostOptions(data_dir=tmp_path / "data", config_path=config, overrides=("store.durability=memory",))
    plugins = {"words": Follower(daemons=[Daemon(name="d", run=serve)])}
    async with Host(options, plugins=plugins, discovery=False, environ={}) as host:
        config.write_text("[words]\nsize = 2\n")
        await host.reload()
        found = trouble(Rig(host), "words")
        assert found["raised"] == 1
        assert found["reason"] == "the follower of its settings raised ArithmeticError"
        assert "plugin.raised" not in await Rig(host).codes(), "config.follow.failed tells of it"


# -- where it is shown ----------------------------------------------------------------------------


async def test_admins_see_it_in_plugins_and_meta_and_nothing_to_run_has_changed(tmp_path: Path) -> None:
    async def admit(asked: Sequence[Admission]) -> list[Allow]:
        raise OSError("the gate is stuck")

    async with rig(tmp_path, noop, plugin=gate(admit)) as on:
        before = on.kernel.meta.meta(ANN)
        viewed = on.kernel.meta.meta(VIEWER)
        with pytest.raises(Unavailable):
            await on.submit("t.noop")
        after = on.kernel.meta.meta(ANN)
        (shown,) = [p for p in json.loads(after.body)["plugins"] if p["id"] == "p"]
        assert shown["trouble"] == trouble(on)
        assert all("trouble" not in p for p in json.loads(before.body)["plugins"])
        assert (after.revision, after.generation) == (before.revision, before.generation)
        assert on.kernel.meta._built[ANN][1].blamed == on.kernel.blame.generation == 1
        assert on.kernel.meta.meta(VIEWER).body == viewed.body
        answer = await on.door.query(ANN, "host.plugins", {})
        assert [item["trouble"]["raised"] for item in answer["items"]] == [1]
        plain = await on.host.door("rpc").query(VIEWER, "host.plugins", {})
        assert all("trouble" not in item for item in plain["items"])


def test_the_column_says_what_matters() -> None:
    record = {"id": "p", "trouble": {"summary": "raised 3", "reason": "gate 'g' raised OSError", "place": "g.py:4"}}
    assert _trouble(record) == "raised 3: gate 'g' raised OSError (g.py:4)"
    assert _trouble({"id": "q"}) == ""
