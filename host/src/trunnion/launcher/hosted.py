"""The running host, if there is one, and what is to be said when there is none or it cannot listen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trunnion.launcher.place import locate
from trunnion.model.errors import Conflict, Unavailable
from trunnion.model.json import Json

if TYPE_CHECKING:
    from trunnion.launcher.options import Options
    from trunnion.protocol.blocking import BlockingClient


def refuse_start_options(options: Options) -> None:
    """Refuse what only a host that is starting can take into account.

    Raises:
        Conflict: such options were given; call this when a host is running.
    """
    if given := options.for_start:
        verb = "has" if len(given) == 1 else "have"
        raise Conflict(
            f"a host is running on this data directory, so {', '.join(given)} {verb} no effect; "
            "leave it out, stop that host first, or give another --data-dir"
        )


def connect(options: Options) -> BlockingClient:
    """A connection to the running host.

    Raises:
        Unavailable: there is none.
        Conflict: options were given that a running host cannot take into account.
    """
    from trunnion.protocol.blocking import BlockingClient

    client = BlockingClient(locate(options).data.socket, timeout=None)
    try:
        refuse_start_options(options)
    except Conflict:
        client.close()
        raise
    return client


def ask(
    options: Options, query_id: str, args: Mapping[str, Json] | None = None, argv: Sequence[str] | None = None
) -> Json:
    """Ask a query of the running host, or of its store, read-only, when there is none; or of one elsewhere.

    Raises:
        TrunnionError: whatever refuses it.
    """
    if options.connect is not None:
        from trunnion.launcher.elsewhere import ask_far

        return ask_far(options, lambda host: host.query(query_id, args, argv=argv))
    place = locate(options)
    try:
        client = connect(options)
    except Unavailable:
        from trunnion.launcher.cold import ask_store

        return ask_store(options, place, query_id, args, argv)
    with client:
        params: dict[str, Json] = {"query_id": query_id, "args": args, "argv": None if argv is None else list(argv)}
        return client.call("query", params)
