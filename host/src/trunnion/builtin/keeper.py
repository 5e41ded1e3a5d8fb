"""The one keeper of a host, through which plugins start programs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trunnion.model.contributions import Provider
from trunnion.process import Keeper

if TYPE_CHECKING:
    from trunnion.kernel.handle import HostHandle


async def _open(host: HostHandle) -> Keeper:
    return Keeper(partial(host.report, "keeper.restarted"))


async def _close(keeper: object) -> None:
    if isinstance(keeper, Keeper):
        await keeper.close()


KEEPER = Provider(type=Keeper, open=_open, close=_close)
