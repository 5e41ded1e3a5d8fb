"""``secrets.*``: the sealed store. For admins, through local doors; values go in and are never shown."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from trunnion.arguments.hints import Secret
from trunnion.kernel.core import Kernel
from trunnion.model.commands import Command, Query
from trunnion.model.json import Json

LOCK = "host.secrets"


class SecretCommands:
    """Keeps, lists and removes secrets, and changes their key."""

    def __init__(self, kernel: Kernel) -> None:
        self._secrets = kernel.secrets

    def commands(self) -> list[Command]:
        """All of them."""
        return [
            Command.of(self.set, console="secrets", title="Keep a secret", role="admin", lock=LOCK),
            Command.of(
                self.delete, console="secrets", title="Remove a secret", role="admin", lock=LOCK, effect="destroy"
            ),
            Command.of(self.rotate, console="secrets", title="Seal everything with a new key", role="admin", lock=LOCK),
        ]

    def queries(self) -> list[Query]:
        """All of them."""
        return [Query.of(self.list, console="secrets", title="List the names of secrets", role="admin")]

    async def set(self, name: str, *, value: Annotated[str, Secret()]) -> dict[str, Json]:
        """Keep a secret, in the place of what was there under the name.

        Args:
            name: ``<plugin>/<name>``, or ``shared/<name>`` for all plugins.
            value: the secret.
        """
        document = await self._secrets.set(name, value)
        return {"name": name, "updated": document.updated}

    async def delete(self, name: str) -> dict[str, Json]:
        """Remove a secret.

        Args:
            name: as it was set.
        """
        await self._secrets.delete(name)
        return {"deleted": name}

    async def rotate(self) -> dict[str, Json]:
        """Make a new key, seal every secret with it, drop the old one."""
        return await self._secrets.rotate()

    async def list(
        self, *, limit: Annotated[int, Meta(ge=1, le=1000)] = 100, cursor: str | None = None
    ) -> dict[str, Json]:
        """Names of secrets, when each was last changed and whether it can be opened; never a value.

        Args:
            limit: at most so many.
            cursor: as given by the page before.
        """
        return await self._secrets.describe(limit, cursor)
