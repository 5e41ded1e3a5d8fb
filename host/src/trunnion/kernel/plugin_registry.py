"""The registry as a plugin holds it: everything to read, only its own sets to change."""

from __future__ import annotations

from trunnion.kernel.registry import Contributed, Registry
from trunnion.model.commands import Command, Query
from trunnion.model.contributions import Console
from trunnion.model.errors import InvalidArguments
from trunnion.model.names import is_own_set


class PluginRegistry:
    """What there is, and the sets of one plugin. On the host's loop only.

    A plugin's sets are called as itself, or ``<plugin>/<name>``: one for each driver instance, say.

    Args:
        registry: of the host.
        plugin_id: whose view it is.
    """

    def __init__(self, registry: Registry, plugin_id: str) -> None:
        self._registry = registry
        self._plugin_id = plugin_id

    # -- changing its own -------------------------------------------------------------------------

    def replace(self, name: str, contributed: Contributed, *, available: bool = True) -> None:
        """Add a set, in place of the one of this name.

        Raises:
            InvalidArguments: the name is not one of this plugin's, or something in the set cannot be used.
            Conflict: a name in the set is taken. In either case nothing has changed.
        """
        self._registry.replace(self._own(name), contributed, available=available)

    async def bring(self, name: str, contributed: Contributed, *, available: bool = True) -> None:
        """``replace`` for large sets, of hundreds of commands and more: the host goes on while it is compiled.

        Until it returns, what was there before answers; then the whole set is there at once.

        Raises:
            InvalidArguments: the name is not one of this plugin's, or something in the set cannot be used.
            Conflict: a name in the set is taken. In either case nothing has changed.
        """
        await self._registry.bring(self._own(name), contributed, available=available)

    def withdraw(self, name: str) -> None:
        """Remove a set; nothing happens if there is none of this name.

        Raises:
            InvalidArguments: the name is not one of this plugin's.
        """
        self._registry.withdraw(self._own(name))

    def set_available(self, name: str, available: bool) -> None:
        """Mark the commands and queries of a set as there or not; they stay registered.

        Raises:
            InvalidArguments: the name is not one of this plugin's.
            NotFound: there is no set of this name.
        """
        self._registry.set_available(self._own(name), available)

    def _own(self, name: str) -> str:
        if not is_own_set(name, self._plugin_id):
            raise InvalidArguments(
                f"{name!r} is no set of plugin {self._plugin_id!r}: "
                f"its sets are called {self._plugin_id!r} or '{self._plugin_id}/<name>'"
            )
        return name

    # -- reading ----------------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """Counts changes since the host started."""
        return self._registry.generation

    def get(self, name: str) -> Command | Query | None:
        """The command or query of an id or alias."""
        return self.command(name) or self.query(name)

    def command(self, name: str) -> Command | None:
        """The command of an id or alias."""
        entry = self._registry.command(name)
        return entry.command if entry is not None else None

    def query(self, name: str) -> Query | None:
        """The query of an id or alias."""
        entry = self._registry.query(name)
        return entry.query if entry is not None else None

    def consoles(self) -> list[Console]:
        """Every console but the root, described or not, by path."""
        return self._registry.consoles()

    def root(self) -> Console:
        """The main console, under all others."""
        return self._registry.root()

    def children(self, path: str) -> list[Console]:
        """The consoles directly above one; of the root, the outermost ones. In their order."""
        return self._registry.children(path)

    def commands(self, path: str) -> list[Command]:
        """The commands directly in a console, by id."""
        return [entry.command for entry in self._registry.commands(path)]
