"""Durable storage: four verbs (accept, start, append, finish) in atomic batches, and readers of history.

``base`` is the contract; ``open_store`` makes a store that keeps it. Importing this package imports no
engine, making a store imports everything it needs until its end.
"""

from trunnion.store.base import (
    Accept,
    Batch,
    Commit,
    DiskFull,
    DocumentWrite,
    Done,
    Ended,
    KeyRow,
    LiveRun,
    Store,
)
from trunnion.store.factory import Durability, open_readonly, open_store

__all__ = [
    "Accept",
    "Batch",
    "Commit",
    "DiskFull",
    "DocumentWrite",
    "Done",
    "Durability",
    "Ended",
    "KeyRow",
    "LiveRun",
    "Store",
    "open_readonly",
    "open_store",
]
