"""An embedding program's own things."""

from __future__ import annotations

from trunnion import Context, command


class Warehouse:
    """The business object: it knows nothing of hosts."""

    def __init__(self) -> None:
        self.shelf: dict[str, int] = {}

    def add(self, item: str, count: int = 1) -> int:
        """Put items on the shelf."""
        self.shelf[item] = self.shelf.get(item, 0) + count
        return self.shelf[item]


class Shop(Warehouse):
    """Another, whose methods are declared in place."""

    @command(console="shop")
    def sell(self, item: str) -> int:
        return self.add(item, -1)


@command(console="stock")
def put(ctx: Context, item: str, count: int = 1) -> int:
    """Put items on the shelf."""
    return ctx.require(Warehouse).add(item, count)
