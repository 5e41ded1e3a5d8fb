"""Making the store a configuration asks for. Engines are imported by who uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from trunnion.model.errors import Unavailable
from trunnion.store.base import Store

if TYPE_CHECKING:
    from trunnion.store.readonly import ReadOnlyStore

Durability: TypeAlias = Literal["memory", "process", "power"]
"""What a committed batch survives: nothing, the death of the process, the loss of power."""


def open_store(durability: Durability, data_dir: Path, clock: Callable[[], int]) -> Store:
    """Open the store of a data directory: ``db/trunnion.sqlite`` and ``artifacts/`` in it.

    Args:
        durability: see ``Durability``.
        data_dir: the data directory, which the caller holds the lock of.
        clock: UTC µs.

    Raises:
        IncompatibleData: written by a newer version; nothing was touched.
        Unavailable: cannot be opened; the message names the path and the reason.
    """
    if durability != "memory":
        _make_folder(database_path(data_dir).parent)
    store = _make(durability, data_dir, clock)
    store.open()
    return store


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be made: {error.strerror}", {"path": str(folder)}) from error


def _make(durability: Durability, data_dir: Path, clock: Callable[[], int]) -> Store:
    if durability == "memory":
        from trunnion.store.memory import MemoryStore

        return MemoryStore(data_dir, clock=clock)
    if durability == "power":
        from trunnion.store.power import PowerStore

        return PowerStore(database_path(data_dir), artifacts=data_dir / "artifacts", clock=clock)
    from trunnion.store.sqlite import SqliteStore

    return SqliteStore(database_path(data_dir), artifacts=data_dir / "artifacts", clock=clock)


def open_readonly(data_dir: Path, clock: Callable[[], int]) -> ReadOnlyStore:
    """Open the history of a data directory that no host has open, without changing or recovering anything.

    Raises:
        IncompatibleData: written by a newer version.
        Unavailable: there is no history, or it cannot be read.
    """
    from trunnion.store.readonly import ReadOnlyStore

    store = ReadOnlyStore(database_path(data_dir), artifacts=data_dir / "artifacts", clock=clock)
    store.open()
    return store


def database_path(data_dir: Path) -> Path:
    """Where the database of a data directory lies."""
    return data_dir / "db" / "trunnion.sqlite"
