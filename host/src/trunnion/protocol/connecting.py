"""Finding who can reach a host elsewhere, by the scheme of its URL."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

from trunnion.model.errors import BrokenPlugin, InvalidArguments, Unavailable
from trunnion.plugins.contained import one_line
from trunnion.plugins.entry_points import EntryPoint, entry_points
from trunnion.protocol.clients import GROUP, Connector

if TYPE_CHECKING:
    from trunnion.model.runs import LocalDoor
    from trunnion.protocol.clients import Destination, FarClient

EXTRAS: Mapping[str, str] = {"grpc": "rpc", "grpcs": "rpc", "unix": "rpc"}
"""The extra that brings a scheme, for whoever lacks it."""

_ANY_GENERATION = GROUP.rpartition("v")[0] + "v"


def client_for(to: Destination, *, patience: float, door: LocalDoor = "cli") -> FarClient:
    """A client of a host elsewhere, not connected yet. Call and use it in a running loop.

    Args:
        to: the host.
        patience: seconds ``follow`` tries to reach it again.
        door: what the client is.

    Raises:
        InvalidArguments: nothing that is installed knows the scheme, or the destination cannot be one.
        BrokenPlugin: what knows it cannot be loaded, or several do.
    """
    return _connector(to.scheme)(to, patience=patience, door=door)


def _connector(scheme: str) -> Connector:
    entry = _entry(scheme)
    try:
        found = entry.load()
    except Exception as error:
        raise BrokenPlugin(
            f"{entry.distribution} {entry.version}, by which {scheme} is reached, cannot be loaded: {one_line(error)}",
            {"distribution": entry.distribution},
        ) from error
    if not isinstance(found, Connector):
        raise BrokenPlugin(
            f"{entry.distribution} {entry.version}: {entry.value}, by which {scheme} is reached, cannot be called",
            {"distribution": entry.distribution},
        )
    return found


def _entry(scheme: str) -> EntryPoint:
    offered = list(chain.from_iterable(entry_points(_ANY_GENERATION)))
    found = [entry for entry in offered if entry.group == GROUP and entry.name == scheme]
    names = sorted({entry.distribution for entry in found})
    if len(names) > 1:
        raise BrokenPlugin(f"{' and '.join(names)} both say how {scheme} is reached: remove one", {"scheme": scheme})
    if found:
        return found[0]
    others = [entry for entry in offered if entry.name == scheme]
    if others:
        raise Unavailable(
            f"{others[0].distribution} {others[0].version} reaches {scheme} by {others[0].group}, "
            f"this program speaks {GROUP}: upgrade the older one"
        )
    known = sorted({entry.name for entry in offered if entry.group == GROUP})
    if scheme in EXTRAS:
        raise Unavailable(
            f"nothing that is installed reaches a host by {scheme}: pip install 'trunnion[{EXTRAS[scheme]}]'",
            {"scheme": scheme, "extra": EXTRAS[scheme]},
        )
    raise InvalidArguments(
        f"{scheme!r} is no way to reach a host" + (f"; there are {', '.join(known)}" if known else ""),
        {"scheme": scheme, "known": list(known)},
    )
