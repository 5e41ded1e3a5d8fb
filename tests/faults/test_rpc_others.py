"""J6: what others notice of somebody who does one thing over and over, at the socket for gRPC and by TLS."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from faults_kit import Ground, Up
from http2_kit import ATTACKS, END_HEADERS, HEADERS, Line, Secured, ended, frame, request
from streams_kit import resident

from trunnion.model.runs import Invocation
from trunnion.protocol.client import Client

Figure = Callable[..., None]
MIB = 1 << 20
OK = b"grpc-status\x010"
KIT = Path(__file__).with_name("http2_kit.py")


class Place(NamedTuple):
    """Where both come in; the other one shows a token at the socket, and by TLS a certificate of their own."""

    attacker: Path | Secured
    other: Path | Secured
    token: str


def on_the_socket(ground: Ground) -> tuple[Up, Place]:
    host = _opened(ground, "")
    path = ground.data / "run" / "rpc.sock"
    return host, Place(path, path, _token(ground))


def by_tls(ground: Ground, without: str = "none") -> tuple[Up, Place]:
    keys, port = ground.root / "keys", _free_port()
    ground.only = "faults,rpc"
    made = ground.run("rpc", "certs", str(keys), "--host", "localhost", "--client", "ann", "--client", "eve")
    assert made.returncode == 0, made.stderr
    tls = f'cert = "{keys}/server.pem"\nkey = "{keys}/server.key"\nclient_ca = "{keys}/ca.pem"\n'
    host = _opened(
        ground, f'listen = ["127.0.0.1:{port}"]\n[rpc.tls]\n{tls}trust_domain = "trunnion.internal"\n', without
    )
    for name in ("ann", "eve"):
        _do(ground, "principals.add", name=f"spiffe://trunnion.internal/{name}", kind="program", role="viewer")
    return host, Place(Secured(port, keys / "client-eve.pem"), Secured(port, keys / "client-ann.pem"), "")


def _opened(ground: Ground, more: str, without: str = "none") -> Up:
    ground.only = "faults,rpc"
    with ground.config.open("a") as file:
        file.write(f'[rpc]\nenabled = true\naudit = "off-i-know"\n{more}')
    return ground.up(without=without)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _do(ground: Ground, command: str, **args: object) -> dict[str, str]:
    async def done(client: Client) -> dict[str, str]:
        run = await client.run(Invocation(command_id=command, args=args))  # type: ignore[arg-type]
        assert run.error is None, run.error
        return run.result  # type: ignore[return-value]

    return ground.talk(done)


def _token(ground: Ground) -> str:
    _do(ground, "principals.add", name="ann", role="viewer")
    return _do(ground, "tokens.create", principal="ann", on=["*"])["token"]


ALWAYS = {
    ("rapid_reset", on_the_socket),
    ("half_calls", on_the_socket),
    ("rapid_reset", by_tls),
    ("large_headers", by_tls),
    ("no_messages", by_tls),
}
SOME = [
    pytest.param(what, way, marks=[] if (what, way) in ALWAYS else [pytest.mark.heavy], id=f"{what} {way.__name__}")
    for what in ATTACKS
    for way in (on_the_socket, by_tls)
]
"""All of them take a while; those that say most are enough for each time."""


# -- both at once ------------------------------------------------------------------------------------------


@contextmanager
def attacked(place: Path | Secured, what: str | None, seconds: float) -> Iterator[None]:
    """Somebody does one thing again and again."""
    if what is None:
        yield
        return
    where = [f"127.0.0.1:{place.port}", place.certificate] if isinstance(place, Secured) else [place]
    command = [sys.executable, KIT, what, str(seconds), *where]
    child = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    try:
        yield
        said, _ = child.communicate(timeout=seconds + 30)
        assert int(said) > 0
    finally:
        child.kill()
        child.wait()


def slowest(place: Place, seconds: float) -> float:
    """Seconds within which 99 of 100 calls of somebody else were answered."""
    took: list[float] = []
    shown = [("authorization", f"Bearer {place.token}".encode())] if place.token else []
    with Line(place.other) as line:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            number = line.call("GetHost", b"", *shown)
            last = [got.payload for got in line.until(ended(number)) if got.kind == HEADERS][-1]
            assert OK in last
            took.append(time.monotonic() - began)
    return sorted(took)[int(len(took) * 0.99)]


def both(ground: Ground, way: Callable[[Ground], tuple[Up, Place]], what: str | None, seconds: float) -> list[float]:
    """The slowest calls of others before and during an attack, in seconds, and bytes of memory more."""
    host, place = way(ground)
    slowest(place, 0.3)
    memory = resident(host)
    before = slowest(place, seconds)
    with attacked(place.attacker, what, seconds + 0.5):
        during = slowest(place, seconds)
    more = resident(host) - memory
    slowest(place, 0.0001)
    assert host.stop() == 0
    assert "Traceback" not in host.said() + (ground.data / "logs" / "host.jsonl").read_text()
    return [before, during, more]


@pytest.mark.alone
@pytest.mark.parametrize(("what", "way"), SOME)
def test_j6_others_while_somebody_goes_on_and_on(
    ground: Ground, what: str, way: Callable[[Ground], tuple[Up, Place]], rounds: int, figure: Figure
) -> None:
    """The slowest of their calls take less than twice as long, or half a second where the machine is crowded."""
    before, during, more = both(ground, way, what, rounds / 80)
    figure("p99 before", round(1000 * before, 1), "ms")
    figure("p99 during", round(1000 * during, 1), "ms")
    figure("memory more", max(0, int(more)) // MIB, "MiB")
    assert more <= 50 * MIB
    assert during < max(2 * before, 0.5)


@pytest.mark.parametrize("way", [on_the_socket, by_tls])
def test_j6_without_the_fault(ground: Ground, way: Callable[[Ground], tuple[Up, Place]]) -> None:
    before, during, more = both(ground, way, None, 0.2)
    assert more <= 50 * MIB
    assert during < max(2 * before, 0.5)


# -- cut off -----------------------------------------------------------------------------------------------


def metadata_without_limit(ground: Ground, without: str) -> int:
    """Bytes of memory more after somebody who does not confirm the limits sent a hundred megabytes of metadata."""
    host, place = by_tls(ground, without)
    slowest(place, 0.1)
    before = resident(host)
    with suppress(OSError), Line(place.attacker) as line:
        for _ in range(100):
            ATTACKS["large_headers"](line)
        slowest(place, 0.1)
        return resident(host) - before
    return resident(host) - before


def test_j6_metadata_of_who_confirms_no_limit(ground: Ground, figure: Figure) -> None:
    """Defence: ``FrameWatch``; gRPC takes all of it for as long as the limit is not confirmed."""
    more = metadata_without_limit(ground, "none")
    figure("memory more", max(0, more) // MIB, "MiB")
    assert more <= 50 * MIB
    assert "more than 65536 bytes" in (ground.data / "logs" / "host.jsonl").read_text()


def test_j6_without_the_defence_it_is_taken(ground: Ground) -> None:
    assert metadata_without_limit(ground, "see_no_frames") > 50 * MIB


def test_j6_who_is_cut_off_is_not_let_in_again_at_once(ground: Ground) -> None:
    """Defence: ``Front.unruly``. Others come in from the same address."""
    host, place = by_tls(ground)
    with pytest.raises(OSError), Line(place.attacker) as line:
        for _ in range(1000):
            ATTACKS["rapid_reset"](line)
            line.drained()
    with pytest.raises((OSError, AssertionError)), Line(place.attacker) as again:
        again.agree()
        number = again.call("GetHost", b"")
        assert again.until(ended(number))
    slowest(place, 0.1)
    log = (ground.data / "logs" / "host.jsonl").read_text()
    assert "frames without content come too often" in log
    assert host.stop() == 0


def test_j6_who_does_not_agree_to_limits_is_cut_off(ground: Ground) -> None:
    """Defence: the time for settings; on the socket gRPC itself sees to it."""
    _opened(ground, "handshake_timeout = 0.5\n")
    with Line(ground.data / "run" / "rpc.sock") as line:
        line.send(frame(HEADERS, END_HEADERS, line.stream(), request("StreamEvents")))
        while line.next() is not None:
            pass
