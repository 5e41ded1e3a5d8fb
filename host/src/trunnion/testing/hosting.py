"""A host for one test: nothing but what it is given, on a folder of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, TypedDict, Unpack

from trunnion.host import Host, HostOptions
from trunnion.host_thread import HostThread
from trunnion.model.commands import Command, Query
from trunnion.model.errors import NotFound
from trunnion.model.json import Json, JsonObject
from trunnion.model.names import nearest
from trunnion.plugins.discover import installed, objects
from trunnion.testing.blocking import BlockingHarness
from trunnion.testing.clock import FakeClock
from trunnion.testing.harness import PATIENCE, TESTER, Harness
from trunnion.testing.outside import take_up
from trunnion.testing.toml import as_toml

SHUTDOWN_GRACE = 0.2
"""Seconds that runs still at work at the end of a block have; a test that is done waits for nothing."""

Plugins = Mapping[str, object] | Sequence[object]


class HostingArguments(TypedDict, total=False):
    """What a test may give to its host; see ``Hosting``."""

    plugins: Plugins
    commands: Iterable[Command | Callable[..., object]]
    queries: Iterable[Query]
    provide: Iterable[object]
    settings: Mapping[str, JsonObject]
    store: Literal["memory", "process"]
    clock: FakeClock | None
    data_dir: Path | None
    capture: bool
    patience: float


class Hosting:
    """``with Hosting(plugins=["diary"]) as host:`` in a plain test, ``async with`` in an asynchronous one.

    The host finds nothing by itself: no installed plugin, no configuration, no variable of the environment. It opens
    no door; a plugin that cannot be used is an error. Each object is good for one block.

    Args:
        **asked: all of it may be left out.

            ``plugins``: plugin objects or modules by id. A sequence may also name installed plugins, which are then
            loaded by their entry points.
            ``commands``, ``queries``, ``provide``: as for ``Host``.
            ``settings``: the configuration, a mapping of keys for each section.
            ``store``: ``memory`` is gone with the host, ``process`` is a database in the data directory.
            ``clock``: a clock the test moves; by default the machine's.
            ``data_dir``: by default a temporary folder, removed at the end. Given again with ``store="process"``, the
            next host finds what the last one left.
            ``capture``: whether what handlers print and log belongs to their run; True by default. What the test
            itself prints goes where it would go anyway.
            ``patience``: seconds by the machine's clock until waiting for a run is given up.
    """

    def __init__(self, **asked: Unpack[HostingArguments]) -> None:
        self._asked = asked
        self._stack = ExitStack()
        self._host: Host | None = None
        self._thread: HostThread | None = None

    async def __aenter__(self) -> Harness:
        """Start.

        Raises:
            TrunnionError: it cannot, or one of the plugins cannot be used; nothing is left behind.
        """
        with ExitStack() as stack:
            host = await self._make(stack).__aenter__()
            self._host, self._stack = host, stack.pop_all()
        return self._harness(host)

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        host, self._host = self._host, None
        with self._stack:
            if host is not None:
                await host.stop()

    def __enter__(self) -> BlockingHarness:
        """Start, in a thread.

        Raises:
            TrunnionError: it cannot, or one of the plugins cannot be used; nothing is left behind.
        """
        with ExitStack() as stack:
            host = self._make(stack)
            thread = HostThread(host)
            thread.start()
            self._thread, self._stack = thread, stack.pop_all()
        return BlockingHarness(thread, self._harness(host))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        thread, self._thread = self._thread, None
        with self._stack:
            if thread is not None:
                thread.end()

    def _make(self, stack: ExitStack) -> Host:
        asked = self._asked
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunnion-test-")))
        if asked.get("capture", True):
            stack.enter_context(take_up())
        options = HostOptions(
            config_path=_config(folder, asked),
            data_dir=asked.get("data_dir") or folder / "data",
            strict=True,
        )
        return Host(
            options,
            plugins=_plugins(asked.get("plugins", ())),
            discovery=False,
            commands=asked.get("commands", ()),
            queries=asked.get("queries", ()),
            provide=asked.get("provide", ()),
            frontends=(),
            clock=asked.get("clock"),
        )

    def _harness(self, host: Host) -> Harness:
        return Harness(host, TESTER, self._asked.get("clock"), self._asked.get("patience", PATIENCE))


def _config(folder: Path, asked: HostingArguments) -> Path:
    """Write the settings down, readable for nobody else, as there may be secrets among them."""
    given = dict(asked.get("settings", {}))
    store: dict[str, Json] = {"durability": asked.get("store", "memory"), **given.pop("store", {})}
    executor: dict[str, Json] = {"shutdown_grace": SHUTDOWN_GRACE, **given.pop("executor", {})}
    path = folder / "trunnion.toml"
    path.touch(mode=0o600)
    path.write_text(as_toml({"store": store, "executor": executor, **given}), encoding="utf-8")
    return path


def _plugins(given: Plugins) -> dict[str, object]:
    if isinstance(given, Mapping):
        return dict(given)
    named = [item for item in given if isinstance(item, str)]
    others = [item for item in given if not isinstance(item, str)]
    return {**{name: _installed(name) for name in named}, **{c.id: c.load() for c in objects(others)}}


def _installed(name: str) -> object:
    """An installed plugin, by its entry point.

    Raises:
        NotFound: there is none of this name.
    """
    found = {candidate.id: candidate for candidate in installed()}
    if name not in found:
        raise NotFound(f"no plugin {name!r} is installed", {"nearest": nearest(name, found)})
    return found[name].load()
