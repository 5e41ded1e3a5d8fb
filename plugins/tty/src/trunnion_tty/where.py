"""The host a shell is for, as people and the bar name it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from trunnion.config.data_dir import DataDir
from trunnion.protocol.clients import Destination

SOCKET = "unix"
SHARED = ("share", "lib")
"""Folders in which programs keep what is theirs, such as ``/var/lib``: their names say nothing of a host."""


class Where(NamedTuple):
    """A host.

    Attributes:
        name: in a word or two.
        told: where it is, for a sentence.
        artifacts: the folder of files kept with its runs, None where it is not on this machine.
    """

    name: str
    told: str
    artifacts: Path | None


def here(data: DataDir) -> Where:
    """The host of a data directory."""
    return Where(host_name(data.root), f"on {_from_home(data.root)}", data.artifacts)


def elsewhere(asked: str, to: Destination) -> Where:
    """A host elsewhere.

    Args:
        asked: the URL or the name that was given for it.
        to: what that means.
    """
    name = asked if ":" not in asked else to.place
    if name == to.place and to.scheme == SOCKET:  # in the run/ of a data directory
        name = host_name(Path(to.place).absolute().parent.parent)
    return Where(name, f"at {to.url}", None)


def host_name(root: Path) -> str:
    """What a host is called by its data directory: its name, or that of the folder around it where that says more."""
    says_more = root.name in ("data", "trunnion") and root.parent.name not in ("", *SHARED)
    return root.parent.name if says_more else root.name


def _from_home(place: Path) -> str:
    """A place as people name it: ``~/data`` where it is below their home, if they have one."""
    try:
        return f"~/{place.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(place)
