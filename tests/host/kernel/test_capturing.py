"""Several hosts of one process capture what is printed and logged."""

from __future__ import annotations

import logging
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from kernel_kit import cmd, until

from trunnion.config.values import Config


def speaks() -> None:
    print("printed")
    logging.getLogger("lib").warning("logged")


def with_level(level: str, config: Config) -> Config:
    return msgspec.structs.replace(config, values={**config.values, "log": {"level": level}})


async def test_hosts_that_end_in_any_order_leave_nothing_behind(start, tmp_path: Path) -> None:
    root = logging.getLogger()
    before = sys.stdout, sys.stderr, root.level, list(root.handlers)
    first, second = AsyncExitStack(), AsyncExitStack()
    await first.enter_async_context(start(data=tmp_path / "first", capture=True, settings={"log.level": "warning"}))
    other = await second.enter_async_context(start(capture=True, settings={"log.level": "debug"}))
    assert root.level == logging.DEBUG
    await first.aclose()
    print("for the one that is left")
    logging.getLogger("lib").debug("a detail")
    await until(lambda: not other.kernel.mailbox._items)
    assert any("the one that is left" in event.text for event in await other.host_events())
    assert any("a detail" in event.text for event in await other.host_events("host/log"))
    await second.aclose()
    assert (sys.stdout, sys.stderr, root.level, list(root.handlers)) == before


async def test_a_run_says_once_what_it_says_however_many_capture(start, tmp_path: Path) -> None:
    async with start(cmd(speaks), capture=True) as rig, start(data=tmp_path / "other", capture=True) as other:
        run = await rig.run("t.speaks")
        assert [event.text for event in await rig.events(run) if event.text in ("printed\n", "logged")] == [
            "printed\n",
            "logged",
        ]
        assert not [event for event in await other.host_events() if "printed" in event.text]


async def test_a_reload_changes_what_logging_lets_through(start) -> None:
    """Defence: ``follow_levels`` when a host's own level changes."""
    async with start(capture=True) as rig:
        (swap,) = rig.host._settings.prepared(with_level("debug", rig.host.config), frozenset({"log"}))
        swap()
        assert logging.getLogger().level == rig.kernel.host_log.level == logging.DEBUG
