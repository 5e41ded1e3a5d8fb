"""A program with an object of its own becomes a host: three commands, for a terminal and for other programs."""

import asyncio
from pathlib import Path

from trunnion import CommandFailed, Context, Host, HostOptions, command


class Warehouse:
    """The business object. It was there before and knows nothing of hosts."""

    def __init__(self) -> None:
        self.shelf: dict[str, int] = {}


@command(console="stock", lock="item:{item}")
def add(ctx: Context, item: str, count: int = 1) -> int:
    """Put items on the shelf."""
    shelf = ctx.require(Warehouse).shelf
    shelf[item] = shelf.get(item, 0) + count
    return shelf[item]


@command(console="stock", lock="item:{item}")
def take(ctx: Context, item: str, count: int = 1) -> int:
    """Take items off the shelf."""
    there = ctx.require(Warehouse).shelf.get(item, 0)
    if there < count:
        raise CommandFailed(f"{there} of {item} are left, not {count}")
    return add(ctx, item, -count)


@command(console="stock", effect="read", lock=None)
def shelf(ctx: Context) -> dict[str, int]:
    """What is on the shelf."""
    return dict(ctx.require(Warehouse).shelf)


async def main() -> None:
    options = HostOptions(data_dir=Path("data"))
    async with Host(options, commands=[add, take, shelf], provide=[Warehouse()], discovery=False) as host:
        print("bolts on the shelf:", await host.run("stock.add", item="bolt", count=3), flush=True)
        await host.run_until_stopped()


if __name__ == "__main__":
    asyncio.run(main())
