"""J6: messages, metadata, calls and connections beyond every limit at the door for gRPC, and what others notice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from faults_kit import Ground, Up, until
from http2_kit import (
    ATTACKS,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    Line,
    ended,
    error_of,
    fields,
    frame,
    half_calls,
    request,
)
from streams_kit import resident

from trunnion.model.runs import Invocation
from trunnion.protocol.client import Client

Figure = Callable[..., None]
MIB = 1 << 20
OK, INVALID, LATE, EXHAUSTED = (b"grpc-status\x01" + code for code in (b"0", b"3", b"4", b"8"))
CALM = 11
TOO_MANY = (CALM, b"too_many_pings")

SHORT = """
[rpc]
enabled = true
audit = "off-i-know"
handshake_timeout = 0.5
request_timeout = 0.5
max_idle = 1
max_connections = 20
"""


@pytest.fixture
def served(ground: Ground) -> Ground:
    ground.only = "faults,rpc"
    return ground


def opened(ground: Ground, settings: str = '[rpc]\nenabled = true\naudit = "off-i-know"\n', **options: str) -> Up:
    with ground.config.open("a") as file:
        file.write(settings)
    up = ground.up(**options)
    until(socket_of(ground).exists, "the door is open")  # on a busy machine the host is up before all of its doors are
    return up


def socket_of(ground: Ground) -> Path:
    return ground.data / "run" / "rpc.sock"


def answered(line: Line, token: str = "") -> bytes:
    """The trailers of a plain call."""
    shown = [("authorization", f"Bearer {token}".encode())] if token else []
    return trailers(line, line.call("GetHost", b"", *shown))


def trailers(line: Line, number: int) -> bytes:
    """The last headers of a call."""
    found = [got.payload for got in line.until(ended(number)) if got.kind == HEADERS and got.stream == number]
    assert found, "the line was closed"
    return found[-1]


def served_still(ground: Ground, token: str = "") -> None:
    with Line(socket_of(ground)) as line:
        assert OK in answered(line, token)


def somebody_else(ground: Ground) -> str:
    """The token of a principal who is not the owner."""

    async def made(client: Client) -> str:
        await client.run(Invocation(command_id="principals.add", args={"name": "ann", "role": "viewer"}))
        run = await client.run(Invocation(command_id="tokens.create", args={"principal": "ann", "on": ["*"]}))
        return str(run.result["token"])  # type: ignore[index, call-overload]

    return ground.talk(made)


# -- one thing too much ------------------------------------------------------------------------------------


def test_j6_a_byte_more_than_a_message_may_have(served: Ground, figure: Figure) -> None:
    host = opened(served)
    with Line(socket_of(served)) as line, Line(socket_of(served)) as other:
        assert OK in answered(other)
        before = resident(host)
        number = line.call("Invoke", b"\0" * (4 * MIB + 1))
        seen = line.until(ended(number))  # with its status, or, when the host was quicker than we were, without
        assert seen
        assert not [got for got in seen if got.stream == number and OK in got.payload]
        assert OK in answered(line)
        assert OK in answered(other)
        figure("memory more", max(0, resident(host) - before) // MIB, "MiB")
        assert resident(host) - before < 50 * MIB


def test_j6_a_megabyte_of_metadata(served: Ground, figure: Figure) -> None:
    """Its call is never told to anybody; the line is closed like any other where no call is answered."""
    host = opened(served, SHORT)
    with Line(socket_of(served)) as line, Line(socket_of(served)) as other:
        assert OK in answered(other)
        before = resident(host)
        ATTACKS["large_headers"](line)
        assert OK in answered(line)
        line.closed()
        served_still(served)
        figure("memory more", max(0, resident(host) - before) // MIB, "MiB")
        assert resident(host) - before < 50 * MIB


def test_j6_more_metadata_than_a_call_may_have(served: Ground) -> None:
    opened(served, '[rpc]\nenabled = true\naudit = "off-i-know"\nmax_metadata_bytes = 4096\n')
    with Line(socket_of(served)) as line:
        assert OK in trailers(line, line.call("GetHost", b"", ("x-some", b"x" * 3000)))
        number = line.call("GetHost", b"", ("x-much", b"x" * 5000))
        assert not any(OK in got.payload for got in line.until(ended(number)) if got.stream == number)


def test_j6_a_flood_of_pings_ends_the_line(served: Ground) -> None:
    opened(served)
    with Line(socket_of(served)) as line:
        line.send(frame(PING, payload=b"12345678") * 20)
        assert {(error_of(got), got.payload[8:]) for got in line.closed() if got.kind == GOAWAY} <= {TOO_MANY}
    served_still(served)


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE])
def test_j6_whoever_does_not_get_to_the_point_is_cut_off(served: Ground, said: bytes) -> None:
    opened(served, SHORT.replace("max_idle = 1", "max_idle = 60"))
    with Line(socket_of(served), greet=False) as line:
        line.send(said)
        line.closed()
    served_still(served)


def test_j6_headers_that_come_piece_by_piece(served: Ground) -> None:
    """They make no call, so the line counts as idle."""
    opened(served, SHORT)
    began = time.monotonic()
    with Line(socket_of(served)) as line, pytest.raises(ConnectionError):
        line.send(frame(HEADERS, 0, line.stream(), request("Invoke")))
        while time.monotonic() < began + 20:
            line.send(frame(CONTINUATION, 0, 1, fields(("x-a", b"b"))))
            line.closed_after(0.1)
    served_still(served)


def test_j6_a_request_that_never_comes(served: Ground) -> None:
    """Defence: ``request_timeout`` in ``Guard``."""
    opened(served, SHORT)
    with Line(socket_of(served)) as line:
        number = line.stream()
        line.send(frame(HEADERS, END_HEADERS, number, request("Invoke")))
        assert LATE in trailers(line, number)
    served_still(served)


def test_j6_without_the_defence_it_is_waited_for(served: Ground) -> None:
    opened(served, SHORT, without="wait_for_requests")
    with Line(socket_of(served), seconds=2) as line:
        number = line.stream()
        line.send(frame(HEADERS, END_HEADERS, number, request("Invoke")))
        with pytest.raises(TimeoutError):
            line.until(ended(number))


def test_j6_a_call_without_a_request(served: Ground) -> None:
    opened(served)
    with Line(socket_of(served)) as line:
        number = line.stream()
        line.send(frame(HEADERS, END_HEADERS | END_STREAM, number, request("Invoke")))
        assert INVALID in trailers(line, number)


def test_j6_more_connections_than_there_may_be(served: Ground, figure: Figure) -> None:
    """Those beyond are closed at once; when the others are gone there is room again."""
    opened(served, SHORT)
    with ExitStack() as stack:
        let_in = sum(_is_let_in(served, stack) for _ in range(60))
        figure("connections let in of 60", let_in)
        assert 0 < let_in <= 20
    with ExitStack() as stack:
        until(lambda: _is_let_in(served, stack), "there is room again")


def _is_let_in(ground: Ground, stack: ExitStack) -> bool:
    try:
        return OK in answered(stack.enter_context(Line(socket_of(ground))))
    except (AssertionError, ConnectionError):
        return False


# -- very many ---------------------------------------------------------------------------------------------


@contextmanager
def ten_thousand(ground: Ground) -> Iterator[Line]:
    """So many calls on one connection, whose requests do not come."""
    with Line(socket_of(ground)) as line:
        for _ in range(100):
            half_calls(line)
        yield line


def test_j6_ten_thousand_calls_on_one_connection(served: Ground, figure: Figure) -> None:
    host = opened(served)
    token, before, refused = somebody_else(served), resident(host), 0
    with ten_thousand(served) as line:
        while refused < 9000:  # as many as are not let in; it would wait in vain otherwise
            got = line.next()
            assert got is not None
            refused += got.kind == RST_STREAM and error_of(got) == CALM
        served_still(served, token)
        memory = resident(host) - before
    figure("memory more", max(0, memory) // MIB, "MiB")
    assert memory <= 50 * MIB


def test_j6_without_the_defence_they_take_all_memory(served: Ground) -> None:
    host = opened(served, without="set_no_limits,wait_for_requests")
    before = resident(host)
    with ten_thousand(served):
        until(lambda: resident(host) - before > 50 * MIB, "much memory is taken")


# -- nonsense ----------------------------------------------------------------------------------------------


def nonsense(ground: Ground) -> list[bytes]:
    """What is said to forty requests that are no messages."""
    with Line(socket_of(ground)) as line:
        said = [trailers(line, line.call("Invoke", b"\xff" * 40)) for _ in range(40)]
        return [*said, answered(line)]


def test_j6_nonsense_again_and_again_is_not_read_any_more(served: Ground) -> None:
    """Defence: ``Nonsense.require_sense``."""
    opened(served)
    said = nonsense(served)
    assert all(INVALID in each for each in said[:20])
    assert EXHAUSTED in said[30]
    assert EXHAUSTED in said[40]
    assert "rpc.nonsense" in (served.data / "logs" / "host.jsonl").read_text()


def test_j6_without_the_defence_nonsense_is_read(served: Ground) -> None:
    opened(served, without="read_nonsense")
    said = nonsense(served)
    assert all(INVALID in each for each in said[:40])
    assert OK in said[40]
