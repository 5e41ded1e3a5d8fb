"""A socket that only the owner of the data directory can reach proves the owner, at a door that learns no uid."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_kit import Rig, rig

from trunnion.kernel.authentication import user_name
from trunnion.model.access import LocalUser, PrivateSocket
from trunnion.model.errors import Unauthenticated


@pytest.fixture
async def host(tmp_path: Path) -> Iterator[Rig]:
    async with rig(tmp_path) as running:
        yield running


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        yield made


def bound(listener: socket.socket, path: Path, mode: int = 0o600) -> PrivateSocket:
    listener.bind(str(path))
    path.chmod(mode)
    return PrivateSocket(path)


async def refused(host: Rig, credential: PrivateSocket) -> None:
    with pytest.raises(Unauthenticated) as error:
        await host.host.door("rpc").authenticate(credential)
    assert (error.value.message, error.value.details) == ("the credential is not valid here", {})
    told = (await host.host_events("host/access"))[-1]
    assert told.data == {"code": "access.refused", "source": "rpc", "kind": "socket"}


async def test_whoever_reaches_it_is_the_owner_at_the_door_it_belongs_to(host: Rig, listener: socket.socket) -> None:
    caller = await host.host.door("rpc").authenticate(bound(listener, host.host.data.run / "rpc.sock"))
    assert (caller.principal, caller.source, caller.role, caller.credential) == (
        user_name(os.getuid()),
        "rpc",
        "admin",
        "",
    )


async def test_a_uid_alone_proves_nothing_at_a_remote_door(host: Rig) -> None:
    """A peer of a loopback port has a uid too; a door that could show one for it would make everybody the owner."""
    with pytest.raises(Unauthenticated):
        await host.host.door("rpc").authenticate(LocalUser(os.getuid()))


async def test_it_lies_where_only_the_owner_looks(host: Rig, listener: socket.socket, tmp_path: Path) -> None:
    """Defence: ``path.parent != run``."""
    await refused(host, bound(listener, tmp_path / "elsewhere.sock"))


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
async def test_nobody_else_may_open_it(host: Rig, listener: socket.socket, mode: int) -> None:
    """Defence: ``check_private`` of the socket."""
    await refused(host, bound(listener, host.host.data.run / "rpc.sock", mode))


async def test_nobody_else_may_look_into_the_folder(host: Rig, listener: socket.socket) -> None:
    """Defence: ``check_private`` of the folder."""
    run = host.host.data.run
    run.chmod(0o755)
    await refused(host, bound(listener, run / "rpc.sock"))


async def test_it_is_a_socket_and_not_a_way_to_one(host: Rig, listener: socket.socket, tmp_path: Path) -> None:
    """Defence: ``S_ISSOCK`` of what lies there itself."""
    run = host.host.data.run
    bound(listener, tmp_path / "elsewhere.sock")
    (run / "link.sock").symlink_to(tmp_path / "elsewhere.sock")
    (run / "file.sock").touch(mode=0o600)
    for name in ("link.sock", "file.sock", "nothing.sock"):
        await refused(host, PrivateSocket(run / name))
