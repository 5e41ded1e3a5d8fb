"""The store's part of ``trunnion doctor``: what is not as it was written, and mending it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from trunnion.config.data_dir import hold, holder_of
from trunnion.launcher.place import Place
from trunnion.launcher.screen import Screen
from trunnion.model.errors import TrunnionError
from trunnion.store.check import Access, examine
from trunnion.store.repair import repair
from trunnion.store.trouble import Trouble

MOST_SHOWN = 50


def look(place: Place) -> Iterator[tuple[bool, str]]:
    """Everything the check of the store has to say, each as whether it is well and what was seen."""
    if not place.data.database.exists():
        return
    access: Access = "alone" if holder_of(place.data) is None else "beside"
    try:
        troubles = list(examine(place.data.root, access))
    except TrunnionError as error:
        yield False, error.message
        return
    for trouble in troubles[:MOST_SHOWN]:
        yield False, f"{trouble.text}{_way(trouble)}"
    if len(troubles) > MOST_SHOWN:
        yield False, f"and {len(troubles) - MOST_SHOWN} more"
    if not troubles:
        left = "; files without a record are looked for when no host runs" if access == "beside" else ""
        yield True, f"every page, run, event and kept file is as it was written{left}"


def _way(trouble: Trouble) -> str:
    return f" (--repair: {trouble.mend})" if trouble.mend else " (cannot be mended; a backup may have it)"


def mend(place: Place, screen: Screen) -> None:
    """Mend what can be mended and say what was done.

    Raises:
        Conflict: a host is running.
        Unavailable: it could not be done.
    """
    if not place.data.database.exists():
        return
    with hold(place.data):
        done = repair(place.data.root, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    if done is None:
        screen.note("there is nothing to mend")
        return
    screen.note(f"the database as it was: {done.copy}")
    _tell(screen, done.done)


def _tell(screen: Screen, done: Sequence[str]) -> None:
    for sentence in done:
        screen.note(f"mended   {sentence}")
