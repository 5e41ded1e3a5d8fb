"""What changes while the door is open: J4 and J5 of the fault matrix."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certs_kit import ANN, DOMAIN, Made, Plant, authority, client_context, revocations, write
from rpc_kit import Rpc, until
from test_tls_names import REFUSED, plant_host, port_of, reasons, tried

from trunnion import Event, InvalidConfig, Invocation, TrunnionError
from trunnion_rpc import watch
from trunnion_rpc.client import Client
from trunnion_rpc.target import Tls
from trunnion_rpc.tls_front import Connection, Front

AGE = 0.5
"""Seconds, as configured, until a change counts."""


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    made = Plant(tmp_path)
    write(made.folder / "clients.crl", revocations(made.clients))
    return made


def crl(plant: Plant) -> str:
    return f'["{plant.folder / "clients.crl"}"]'


# -- J4 ----------------------------------------------------------------------------------------------------


class Following:
    """Somebody who follows a run that does not end, and waits for its end too.

    Attributes:
        ended: how both ended, and when.
    """

    def __init__(self, client: Client, run_id: str) -> None:
        self.client = client
        self.begun = asyncio.Event()
        self._tasks = [asyncio.create_task(self._follow(run_id)), asyncio.create_task(self._ended(client.wait(run_id)))]

    async def _follow(self, run_id: str) -> tuple[str, float]:
        async def follow() -> list[list[Event]]:
            batches = []
            async for batch in self.client.follow(f"run/{run_id}"):
                batches.append(batch)
                self.begun.set()
            return batches

        return await self._ended(follow())

    async def _ended(self, doing) -> tuple[str, float]:
        try:
            await doing
        except TrunnionError as error:
            return f"{error.code}: {error.message}", time.time()
        return "", time.time()

    async def ended(self) -> list[tuple[str, float]]:
        return await asyncio.wait_for(asyncio.gather(*self._tasks), 20)

    @property
    def goes_on(self) -> bool:
        return not any(task.done() for task in self._tasks)

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def following(host: Rpc, plant: Plant, made: Made, name: str) -> AsyncIterator[Following]:
    async with Client(host.part.address, tls=plant.tls(made, name), patience=0) as client:
        run = await client.submit(Invocation(command_id="demo.hold"))
        one = Following(client, run.id)
        await asyncio.wait_for(one.begun.wait(), 10)
        try:
            yield one
        finally:
            await one.leave()


async def test_j4_a_certificate_ends_while_a_stream_is_open(
    plant: Plant, tmp_path: Path, figure: Callable[..., None]
) -> None:
    others = authority("others")
    write(plant.folder / "clients.pem", plant.clients.pem() + others.pem())
    write(plant.folder / "clients.crl", revocations(plant.clients) + revocations(others))
    taken, foreign = plant.client(ANN), plant.client(ANN, by=others)
    async with (
        plant_host(plant, tmp_path, crl=crl(plant), recheck=AGE) as host,
        following(host, plant, plant.client(ANN), "good") as good,
        following(host, plant, taken, "taken") as revoked,
        following(host, plant, foreign, "foreign") as withdrawn,
        following(host, plant, short := plant.client(ANN, ends=timedelta(seconds=3)), "short") as expiring,
    ):
        changed = time.time()
        write(plant.folder / "clients.crl", revocations(plant.clients, taken) + revocations(others))
        late = [(at - changed, text) for text, at in await revoked.ended()]
        assert withdrawn.goes_on
        changed = time.time()
        write(plant.folder / "clients.crl", revocations(plant.clients, taken))
        write(plant.folder / "clients.pem", plant.clients.pem())
        late += [(at - changed, text) for text, at in await withdrawn.ended()]
        ends = short.cert.not_valid_after_utc.timestamp()
        late += [(at - ends, text) for text, at in await expiring.ended()]
        assert good.goes_on
        assert {text.partition(":")[0] for _, text in late} == {"unauthenticated"}
        assert len({text for _, text in late}) == 3
        assert max(seconds for seconds, _ in late) <= AGE + 1
        for made in (taken, foreign, short):
            text = await tried(host, plant, made)
            assert text.startswith(("unavailable", "unauthenticated"))
        assert (await good.client.host()).principal == ANN
        assert {"revoked", "unknown_authority", "expired"} <= set(await reasons(host))
    figure("most seconds beyond the configured age", round(max(0.0, max(s for s, _ in late) - AGE), 2))


async def test_an_authority_that_is_not_trusted_any_more_takes_its_clients_along(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``authorities`` in ``require_standing``; OpenSSL is not asked again."""
    others = authority("others")
    write(plant.folder / "clients.pem", plant.clients.pem() + others.pem())
    async with (
        plant_host(plant, tmp_path, recheck=0.1) as host,
        following(host, plant, plant.client(ANN, by=others), "foreign") as foreign,
        following(host, plant, plant.client(ANN), "own") as own,
    ):
        write(plant.folder / "clients.pem", plant.clients.pem())
        assert {text.partition(":")[0] for text, _ in await foreign.ended()} == {"unauthenticated"}
        assert own.goes_on


async def test_no_call_is_let_in_when_its_certificate_has_expired(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``ends`` in ``SecuredIdentity``; open streams may wait for their turn, a new call does not."""
    async with (
        plant_host(plant, tmp_path, recheck=3600) as host,
        Client(host.part.address, tls=plant.tls(plant.client(ANN)), patience=0) as client,
    ):
        await client.host()
        (connection,) = connections(host)
        begun, ended = (datetime.now(UTC) - timedelta(seconds=each) for each in (60, 1))
        chain = tuple(link._replace(begins=begun, ends=ended) for link in connection.shown.chain)
        connection.shown, connection.ends = connection.shown._replace(chain=chain), ended.timestamp()
        with pytest.raises(TrunnionError) as error:
            await client.host()
        assert (error.value.code, await reasons(host)) == ("unauthenticated", ["expired"])


async def test_calls_of_a_connection_that_is_lost_are_refused_until_it_is_closed(plant: Plant, tmp_path: Path) -> None:
    """And then it is closed: a client that does not let go is let go."""
    made = plant.client(ANN)
    async with plant_host(plant, tmp_path, crl=crl(plant), recheck=0.1) as host:
        with socket.create_connection(("127.0.0.1", port_of(host))) as plain:
            secured = await asyncio.to_thread(_secured, plain, plant.tls(made))
            write(plant.folder / "clients.crl", revocations(plant.clients, made))
            assert await asyncio.to_thread(_read_to_end, secured)
        assert await tried(host, plant, made) == f"unauthenticated: {REFUSED}"


def _secured(plain: socket.socket, tls: Tls) -> ssl.SSLSocket:
    plain.settimeout(8)
    return client_context(tls).wrap_socket(plain)


def _read_to_end(secured: ssl.SSLSocket) -> bool:
    with secured:
        while secured.recv(1000):
            pass
    return True


class Looks:
    """How often the files were read, and did not fit.

    Attributes:
        failed: counts.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failed = 0
        load = watch.load_trust

        def looked(*given: object) -> object:
            try:
                return load(*given)
            except InvalidConfig:
                self.failed += 1
                raise

        monkeypatch.setattr(watch, "load_trust", looked)

    async def more(self, count: int = 1) -> None:
        """Wait until it has happened so many times more."""
        wanted = self.failed + count
        await until(lambda: self.failed >= wanted)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


# -- J5 ----------------------------------------------------------------------------------------------------


def shown_by(port: int, tls: Tls) -> int:
    """The serial number of the door's certificate; blocks."""
    from cryptography import x509

    with socket.create_connection(("127.0.0.1", port)) as plain, _secured(plain, tls) as secured:
        return x509.load_der_x509_certificate(secured.getpeercert(binary_form=True)).serial_number


class Callers:
    """People who connect again and again.

    Attributes:
        let_in: how often somebody was.
        failed: why somebody was not.
    """

    def __init__(self, host: Rpc, tls: Tls) -> None:
        self.let_in = 0
        self.failed: list[str] = []
        self._host, self._tls = host, tls

    async def run(self) -> None:
        while True:
            try:
                async with await Client.connect(self._host.part.address, tls=self._tls):
                    self.let_in += 1
            except TrunnionError as error:
                self.failed.append(str(error))
            await asyncio.sleep(0)

    async def more(self, count: int = 3) -> None:
        """Wait until so many more were let in."""
        wanted = self.let_in + count
        await until(lambda: self.let_in >= wanted)


async def test_j5_the_key_of_the_door_is_changed_while_it_works(
    plant: Plant, tmp_path: Path, looks: Looks, rounds: int, figure: Callable[..., None]
) -> None:
    tls = plant.tls(plant.client(ANN))
    async with plant_host(plant, tmp_path, recheck=0.1) as host:
        callers = Callers(host, tls)
        task = asyncio.create_task(callers.run())
        now = await asyncio.to_thread(shown_by, port_of(host), tls)
        for number in range(max(2, rounds // 10)):
            made = plant.door()
            halves = [("door.pem", made.pem()), ("door.key", made.key_pem())]
            for name, data in reversed(halves) if number % 2 else halves:
                half = plant.folder / name
                half.write_bytes(data[: len(data) // 2])  # by a tool that does not know better
                await looks.more()
                await callers.more()
                assert await asyncio.to_thread(shown_by, port_of(host), tls) == now
                write(half, data)
                await callers.more()
            now = made.cert.serial_number
            async with asyncio.timeout(10):
                while await asyncio.to_thread(shown_by, port_of(host), tls) != now:
                    await asyncio.sleep(0.02)
        task.cancel()
        assert callers.failed == []
        figure("failed handshakes", len(callers.failed))
        figure("handshakes", callers.let_in)


async def test_files_that_do_not_fit_for_long_are_told_of_once(plant: Plant, tmp_path: Path, looks: Looks) -> None:
    tls = plant.tls(plant.client(ANN))
    async with plant_host(plant, tmp_path, recheck=0.1) as host:
        now = await asyncio.to_thread(shown_by, port_of(host), tls)
        write(plant.folder / "door.key", plant.client().key_pem())
        await until(lambda: any("does not belong to" in text for text in told(host)))
        (plant.folder / "door.key").unlink()
        await until(lambda: any("door.key: No such file" in text for text in told(host)))
        await looks.more(5)
        assert await asyncio.to_thread(shown_by, port_of(host), tls) == now
        made = plant.serve()
        async with asyncio.timeout(10):
            while await asyncio.to_thread(shown_by, port_of(host), tls) != made.cert.serial_number:
                await asyncio.sleep(0.02)
        assert len(told(host)) == len(set(told(host))) == 3, told(host)


def told(host: Rpc) -> list[str]:
    """What operators were told of the files."""
    log = host.host.data.root / "logs" / "host.jsonl"
    return [line for line in log.read_text().splitlines() if "rpc.tls." in line] if log.exists() else []


async def test_a_door_whose_files_are_not_looked_at_any_more_is_opened_anew(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defence: ``serve`` waits for ``Watch.run``: else nobody would learn of what is revoked."""
    tls, look = plant.tls(plant.client(ANN)), watch.stamp_of
    async with plant_host(plant, tmp_path, recheck=0.1) as host:

        def broken(_: object) -> object:
            raise RuntimeError("the disk is gone")

        monkeypatch.setattr(watch, "stamp_of", broken)
        await until(lambda: host.part.crashes)
        monkeypatch.setattr(watch, "stamp_of", look)
        await until(lambda: host.part.status == "ready")
        assert await asyncio.to_thread(shown_by, port_of(host), tls)


async def test_authorities_and_revocations_count_without_a_restart(plant: Plant, tmp_path: Path) -> None:
    others = authority("others")
    foreign, own = plant.client(ANN, by=others), plant.client(ANN)
    async with plant_host(plant, tmp_path, crl=crl(plant), recheck=0.1) as host:
        assert await tried(host, plant, foreign) != ""
        write(plant.folder / "clients.crl", revocations(plant.clients) + revocations(others))
        write(plant.folder / "clients.pem", plant.clients.pem() + others.pem())
        await _until_told(host, plant, foreign, "")
        write(plant.folder / "clients.crl", revocations(plant.clients, own) + revocations(others))
        await _until_told(host, plant, own, f"unauthenticated: {REFUSED}")
        assert await tried(host, plant, foreign) == ""
        write(plant.folder / "clients.crl", revocations(plant.clients) + revocations(others))
        await _until_told(host, plant, own, "")


async def _until_told(host: Rpc, plant: Plant, made: Made, wanted: str) -> None:
    async with asyncio.timeout(10):
        while await tried(host, plant, made) != wanted:
            await asyncio.sleep(0.02)


async def test_a_certificate_that_ends_soon_is_told_of(plant: Plant, tmp_path: Path) -> None:
    plant.serve(ends=timedelta(minutes=10))
    async with plant_host(plant, tmp_path) as host:
        await until(lambda: any("the certificate of the door ends on" in text for text in told(host)))


# -- clients -----------------------------------------------------------------------------------------------


async def test_a_client_takes_up_a_certificate_that_was_renewed(plant: Plant, tmp_path: Path) -> None:
    """Defence: ``Line`` makes another channel when the line was lost and the files have changed."""
    old = plant.client(ANN)
    async with plant_host(plant, tmp_path, crl=crl(plant), recheck=0.1) as host:
        tls = plant.tls(old)
        async with await Client.connect(host.part.address, tls=tls, patience=20) as client:
            write(plant.folder / "clients.crl", revocations(plant.clients, old))
            plant.client(f"spiffe://{DOMAIN}/other")
            plant.client(ANN).save(plant.folder, "client")
            await until(lambda: not open_connections(host))
            assert (await client.host()).principal == ANN


def connections(host: Rpc) -> list[Connection]:
    """Those that are secured, as the door knows them."""
    fronts = [each for each in gc.get_objects() if isinstance(each, Front)]
    mine = next(front for front in fronts if front._host.identity is host.host.kernel.identity)
    return list(mine._connections.values())


def open_connections(host: Rpc) -> int:
    """How many there are."""
    return len(connections(host))
