"""A12, A13: what a door listens on is taken, left over, or taken in the last moment."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from faults_kit import PATIENCE, Ground, Up, until

UNAVAILABLE = 9


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port on which somebody else listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        yield other


@pytest.fixture
def ground(make_ground: Callable[..., Ground]) -> Ground:
    made = make_ground()
    made.only = "faults,scripts,porter"
    return made


def port(of: socket.socket) -> str:
    return str(of.getsockname()[1])


def usual_start(ground: Ground) -> float:
    """How long a start takes when nothing is in the way."""
    host = ground.up()
    assert host.stop() == 0, host.said()
    return host.ready_after


def degraded(ground: Ground, **env: str) -> Up:
    """A host that goes on without the door, and says so."""
    host = ground.up(**env)
    assert "porter: failed" in host.said()
    assert "address already in use" in host.said()
    ground.talk(lambda client: client.hello())
    return host


@pytest.mark.parametrize("how", ["before", "in the last moment"])
def test_a12_a_port_in_use_degrades(
    ground: Ground, taken: socket.socket, how: str, figure: Callable[..., None]
) -> None:
    usual, number = usual_start(ground), port(taken)
    stolen = {}
    if how != "before":
        taken.close()
        stolen = {"PORTER_STOLEN": "1"}
    host = degraded(ground, PORTER_PORT=number, **stolen)
    figure("the start takes longer by", round(max(host.ready_after - usual, 0), 2), "s")
    assert host.stop() == 0, host.said()


@pytest.mark.parametrize("how", ["before", "in the last moment"])
def test_a12_a_port_in_use_ends_the_host(
    ground: Ground, taken: socket.socket, how: str, figure: Callable[..., None]
) -> None:
    """If the door is one without which the host is of no use, it leaves, with a fixed status."""
    number, stolen = port(taken), {}
    if how != "before":
        taken.close()
        stolen = {"PORTER_STOLEN": "1"}
    host = ground.start(PORTER_PORT=number, PORTER_POLICY="fatal", **stolen)
    assert host.process.wait(PATIENCE) == UNAVAILABLE, host.said()
    assert "frontend 'porter' failed" in host.said()
    assert "Traceback" not in host.said()
    figure("exit status where the door is needed", UNAVAILABLE)


def test_a12_a_door_to_be_started_again_opens_once_it_can(ground: Ground, taken: socket.socket) -> None:
    """Meanwhile the other doors are open."""
    number = int(port(taken))
    host = ground.up(PORTER_PORT=str(number), PORTER_POLICY="restart")
    assert "porter: restarting" in host.said()
    ground.talk(lambda client: client.hello())
    taken.close()
    until(lambda: is_open(number), "the door is open")
    assert host.stop() == 0, host.said()


def is_open(number: int) -> bool:
    with closing(socket.socket()) as tried:
        return tried.connect_ex(("127.0.0.1", number)) == 0


def test_a12_without_the_fault(ground: Ground, taken: socket.socket) -> None:
    number = port(taken)
    taken.close()
    host = ground.up(PORTER_PORT=number, PORTER_POLICY="fatal")
    assert is_open(int(number))
    assert "failed" not in host.said()
    assert host.stop() == 0, host.said()


@pytest.mark.parametrize("policy", ["degrade", "fatal"])
def test_a12_without_the_defence(ground: Ground, taken: socket.socket, policy: str) -> None:
    """If nobody looked after a door that is gone, the host would stay and say nothing."""
    host = ground.up(without="look_away", PORTER_PORT=port(taken), PORTER_POLICY=policy)
    assert "porter: failed" not in host.said()
    assert host.stop() == 0, host.said()


# -- the host's own socket ----------------------------------------------------------------------------


def own_socket(ground: Ground) -> Path:
    ground.socket.parent.mkdir(mode=0o700, parents=True)
    ground.data.chmod(0o700)
    return ground.socket


def test_a12_the_hosts_socket_is_served_by_another(ground: Ground) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as other:
        other.bind(str(own_socket(ground)))
        other.listen()
        host = ground.up()
        until(lambda: "socket: failed" in host.said() and "is served by another process" in host.said(), "it is told")
        assert host.stop() == 0, host.said()
        assert ground.socket.exists()


def test_a12_the_hosts_socket_is_taken_in_the_last_moment(ground: Ground) -> None:
    host = ground.up(without="steal_socket")
    until(lambda: "socket: restarting" in host.said() and "ddress already in use" in host.said(), "it is told")
    assert host.stop() == 0, host.said()


def test_a13_a_socket_left_behind_is_replaced(ground: Ground) -> None:
    ground.up().kill()
    old = ground.socket.stat().st_ino, ground.socket.stat().st_ctime_ns
    host = ground.up()
    assert (ground.socket.stat().st_ino, ground.socket.stat().st_ctime_ns) != old
    assert ground.socket.stat().st_mode & 0o777 == 0o600
    ground.talk(lambda client: client.hello())
    assert host.stop() == 0
    assert not ground.socket.exists()


def test_a13_anything_else_in_its_place_is_refused(ground: Ground) -> None:
    """A file that is no socket of ours stays; the host says why this door is closed."""
    ground.socket.parent.mkdir(mode=0o700, parents=True)
    ground.data.chmod(0o700)
    ground.socket.write_text("mine")
    host = ground.up()
    assert "socket: failed" in host.said()
    assert f"{ground.socket} is in the way" in host.said()
    assert host.stop() == 0
    assert "Traceback" not in host.said()
    assert ground.socket.read_text() == "mine"
