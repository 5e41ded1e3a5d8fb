"""Module-level output for code that has no context at hand: it lands in the run it works for.

Outside of runs ``echo`` prints, ``log`` logs, and ``table`` prints the rows; a host that captures output
puts both on its stream ``host``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Unpack

from trunnion.kernel.output import current
from trunnion.model.events import LEVELS
from trunnion.model.json import Json
from trunnion.model.tables import TableOptions, checked_look

_log = logging.getLogger("trunnion.echo")


def echo(*values: object, sep: str = " ", end: str = "\n") -> None:
    """Print to the run this code works for; see ``Context.echo``."""
    context = current.get()
    if context is None:
        print(*values, sep=sep, end=end)  # noqa: T201  # outside of runs this is what it says
    else:
        context.echo(*values, sep=sep, end=end)


def log(message: str, level: str = "info", data: Json = None) -> None:
    """Log to the run this code works for; see ``Context.log``."""
    context = current.get()
    if context is None:
        _log.log(LEVELS.get(level, logging.INFO), message)
    else:
        context.log(message, level, data)


def table(
    rows: Sequence[Sequence[Json]], headers: Sequence[str] = (), title: str = "", **look: Unpack[TableOptions]
) -> None:
    """Add a table to the run this code works for; see ``Context.table``."""
    context = current.get()
    if context is not None:
        context.table(rows, headers, title, **look)
        return
    checked_look(look)
    for row in ([headers] if headers else []) + [list(map(str, row)) for row in rows]:
        echo("  ".join(row))
