"""The one keeper of a host, through which plugins start programs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trunnion.model.contributions import Provider
from trunnion.process import Cgroups, Keeper

if TYPE_CHECKING:
    from trunnion.kernel.handle import HostHandle


async def _open(host: HostHandle) -> Keeper:
    place = str(host.settings.get("cgroup", "auto"))
    cgroups = Cgroups(place=place, host=host.host_id, boot=host.boot_id)
    return Keeper(partial(host.report, "keeper.restarted"), cgroups)


async def _close(keeper: object) -> None:
    if isinstance(keeper, Keeper):
        await keeper.close()


KEEPER = Provider(type=Keeper, open=_open, close=_close)
