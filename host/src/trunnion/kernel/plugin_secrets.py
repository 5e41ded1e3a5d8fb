"""What one plugin gets of the sealed store."""

from __future__ import annotations

from typing import Protocol

from trunnion.access.redaction import Redaction, Release
from trunnion.kernel.output import current
from trunnion.model.errors import NotFound

SHARED = "shared"


class Sealed(Protocol):
    """All secrets; the sealed store implements it. From any thread."""

    def names(self) -> list[str]:
        """All names."""

    def value(self, name: str) -> str:
        """One secret.

        Raises:
            NotFound: there is none of this name.
            Unavailable: it cannot be opened.
        """


class Secrets:
    """A plugin's secrets: its own (``<plugin>/<name>``) and those all plugins share (``shared/<name>``).

    What is got is cut from everything the host shows, and from the output of the run it was got in,
    byte streams included. From any thread.
    """

    def __init__(self, store: Sealed, redaction: Redaction, plugin: str) -> None:
        self._store = store
        self._redaction = redaction
        self._plugin = plugin

    async def get(self, name: str) -> str:
        """One secret.

        Args:
            name: without a prefix the plugin's own, and if there is none of that name, the shared one.

        Raises:
            NotFound: there is none that this plugin may read; the message says what to type.
            Unavailable: it cannot be opened; the message says why.
        """
        return self.get_blocking(name)

    def get_blocking(self, name: str) -> str:
        """``get`` for sync handlers; it waits for nothing."""
        value = self._store.value(self._full(name))
        context = current.get()
        if context is not None:
            context.register_secrets(value)
        return value

    def register(self, *values: str) -> Release:
        """Have values cut wherever the host would show them, until the function that is returned is called.

        For what a plugin learns at run time: a session's cookie, a password a device made up. Values shorter
        than four characters are not searched for.
        """
        return self._redaction.register(*values, owner=self._plugin)

    def names(self) -> list[str]:
        """What ``get`` would find."""
        return [name for name in self._store.names() if name.partition("/")[0] in (self._plugin, SHARED)]

    def _full(self, name: str) -> str:
        owner, slash, _ = name.partition("/")
        own = f"{self._plugin}/{name}"
        if not slash:
            shared = f"{SHARED}/{name}"
            return shared if own not in self._store.names() and shared in self._store.names() else own
        if owner not in (self._plugin, SHARED):
            raise missing(name)
        return name


def missing(name: str) -> NotFound:
    """The one answer for a secret that is not there and for one of another plugin."""
    return NotFound(f"there is no secret {name!r}; an admin can give it: trunnion secrets set {name}", {"name": name})
