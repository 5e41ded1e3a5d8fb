"""N4, N5, N6: canaries on every way in and in every form, then a search of everything a host leaves and shows.

A secret is allowed in two places: sealed in the database, and in the one process that was given it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from ahocorasick_rs import BytesAhoCorasick
from faults_kit import Ground, Up, tagged

from trunnion.access.sealing import Sealer
from trunnion.model.errors import TrunnionError
from trunnion.model.runs import Invocation, Run
from trunnion.protocol.client import Client

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "abcdefghijklmnopqrstuvwxyz0123456789-_.~",
    "abcXYZ0123456789+/=&?%# '\"\\",
    "abcäöüßéλЖ字0123456789",
)
HOWS = ("expected", "long", "no json", "chained")

SCRIPT = """
import base64, os, sys, time, urllib.parse
secret = os.environ.get("SECRET") or sys.stdin.read()
out = sys.stdout.buffer
for text in (secret, base64.b64encode(secret.encode()).decode(), urllib.parse.quote(secret, safe=""), repr(secret)):
    data = text.encode()
    for size in (len(data), 1, 5):
        for at in range(0, len(data), size):
            out.write(data[at:at + size]); out.flush()
            if size == 5: time.sleep(0.002)
        out.write(b"\\ngone\\r" + data + b"\\n" + data + b"\\rdone\\n")
out.write(b"x" * (65536 - 11) + secret.encode() + b"\\n"); out.flush()
sys.stderr.write(secret[:4]); sys.stderr.flush(); time.sleep(0.05); sys.stderr.write(secret[4:] + "\\n")
sys.exit(int(sys.argv[1]))
"""

CONFIG = """
[scripts.by_env]
run = [{python}, "-c", {script}, "{{status}}"]
lock = ""
pass_env = ["FAULTS_TAG"]
args.status = {{ type = "integer", required = true }}
args.word = {{ type = "string", secret = true, env = "SECRET" }}

[scripts.by_stdin]
run = [{python}, "-c", {script}, "{{status}}"]
lock = ""
pass_env = ["FAULTS_TAG"]
args.status = {{ type = "integer", required = true }}
args.word = {{ type = "string", secret = true, stdin = true }}

[scripts.by_config]
run = [{python}, "-c", {script}, "0"]
lock = ""
pass_env = ["FAULTS_TAG"]
env = {{ SECRET = {secret} }}

[scripts.lines]
run = [{python}, "-c", {lines}]
lock = ""
pass_env = ["FAULTS_TAG"]
output = "ndjson"
args.word = {{ type = "string", secret = true, stdin = true }}

[scripts.document]
run = [{python}, "-c", {document}]
lock = ""
pass_env = ["FAULTS_TAG"]
output = "json"
args.word = {{ type = "string", secret = true, stdin = true }}
"""
LINES = """
import json, sys
secret = sys.stdin.read()
print(json.dumps(dict(a=secret, b=[secret])))
print("no json " + secret)
print("x" * (1048576 - 11) + secret)
"""
DOCUMENT = """
import json, sys
secret = sys.stdin.read()
print(json.dumps(dict([("a", secret), (secret, 1)])))
"""


def canary(chance: random.Random, number: int) -> str:
    """From 12 to 48 characters; the first ones are its own, so that a half of it is told from others' halves."""
    alphabet = ALPHABETS[number % len(ALPHABETS)]
    own = f"{chance.getrandbits(40):010x}"
    return own + "".join(chance.choice(alphabet) for _ in range(chance.randint(2, 38))).rstrip() + "z"


def needles(secret: str) -> set[bytes]:
    """What must be found nowhere: written without the code that is tested."""
    data = secret.encode()
    found = {data, json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode()}
    found |= {quote(secret, safe="").encode(), quote(secret).encode(), repr(secret)[1:-1].encode()}
    found |= {json.dumps(repr(secret)[1:-1])[1:-1].encode(), repr(data)[2:-1].encode(), data[:10]}
    for before in range(3):
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            text = encoded(b"\0" * before + data)
            first, whole = -(-before * 8 // 6), (before + len(data)) * 8 // 6
            found.add(text[first:whole])
    return found


class Search:
    """Finds canaries in bytes."""

    def __init__(self, secrets: list[str]) -> None:
        self._of = {needle: secret for secret in secrets for needle in needles(secret)}
        self._needles = sorted(self._of)
        self._search = BytesAhoCorasick(self._needles)

    def found(self, data: bytes) -> dict[str, bytes]:
        """Each canary that is there, and what stands around it."""
        return {
            self._of[self._needles[number]]: data[max(0, start - 30) : end + 10]
            for number, start, end in self._search.find_matches_as_indexes(data)
        }


class Recorded:
    """Between a client and the host: keeps every byte the host sends."""

    def __init__(self) -> None:
        self.received = bytearray()

    @asynccontextmanager
    async def client(self, place: Path, socket: Path) -> AsyncIterator[Client]:
        async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: bool) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(1 << 16):
                    if keep:
                        self.received += data
                    writer.write(data)
                    await writer.drain()
            writer.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            host_reader, host_writer = await asyncio.open_unix_connection(str(socket))
            await asyncio.gather(passed(reader, host_writer, False), passed(host_reader, writer, True))
            over.set()

        over = asyncio.Event()
        server = await asyncio.start_unix_server(serve, str(place))
        async with await Client.connect(place) as client:
            yield client
        await over.wait()
        server.close()
        place.unlink()


class Watched:
    """Looks at the command lines and environments of everything a host started, again and again."""

    def __init__(self, tag: str, search: Search) -> None:
        self._tag = tag
        self._search = search
        self.looks = 0
        self.given: dict[str, int] = {}
        self.wrong: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.004):
                self._look()

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _look(self) -> None:
        self.looks += 1
        for pid in tagged(self._tag):
            with contextlib.suppress(OSError):
                words, environ = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
                self.wrong += [f"cmdline of {pid}: {around!r}" for around in self._search.found(words).values()]
                self._judge(pid, environ)

    def _judge(self, pid: int, environ: bytes) -> None:
        """A program's environment holds what that program was given, and nothing else."""
        own = b"".join(part for part in environ.split(b"\0") if part.startswith(b"SECRET="))
        for secret in self._search.found(own):
            self.given[secret] = self.given.get(secret, 0) + 1
        if len(self._search.found(own)) > 1 or (own and b"TRUNNION_COMMAND=scripts.by_" not in environ):
            self.wrong.append(f"environ of {pid} has more than its own")
        rest = environ.replace(own, b"")
        self.wrong += [f"environ of {pid}: {around!r}" for around in self._search.found(rest).values()]


class Planted:
    """A host with canaries, what is done with them, and what is found afterwards."""

    def __init__(self, ground: Ground, count: int) -> None:
        self.ground = ground
        ground.only = "canaries,scripts"
        chance = ground.random
        self.secrets = [canary(chance, number) for number in range(count)]
        print(f"seed {ground.seed}, {count} canaries")
        fifth = count // 5
        self.stored, self.args, self.registered = (self.secrets[at * fifth : (at + 1) * fifth] for at in range(3))
        self.programs, self.daemon = self.secrets[3 * fifth : 4 * fifth], self.secrets[4 * fifth :]
        self.search = Search(self.secrets)
        self.recorded = Recorded()
        self.watched = Watched(ground.tag, self.search)
        place = ground.root / "canaries.json"
        place.write_text(json.dumps({"registered": self.registered, "daemon": self.daemon[:-1]}))
        texts = {
            "python": sys.executable,
            "script": SCRIPT,
            "secret": self.daemon[-1],
            "lines": LINES,
            "document": DOCUMENT,
        }
        with ground.config.open("a") as file:
            file.write(CONFIG.format(**{name: json.dumps(text) for name, text in texts.items()}))
        ground.config.chmod(0o600)
        self.env = {"CANARIES": str(place)}

    def up(self, without: str = "none") -> Up:
        return self.ground.start(without=without, **self.env).wait_ready()

    # -- what is done with them -------------------------------------------------------------------

    async def plant(self, client: Client) -> None:
        runs = [run async for run in self._runs(client)]
        ended = [await client.wait(run.id, 60) for run in runs]
        await self._ask(client)
        for run in ended:
            await self._read(client, f"run/{run.id}")
            await self._tried(client.call("runs.get", {"run_id": run.id}))
            for artifact in await self._tried(client.query("runs.artifacts", {"run_id": run.id})) or ():
                assert artifact
        assert sum(run.status == "succeeded" for run in ended) > len(ended) // 2, [run.error for run in ended]

    async def _runs(self, client: Client) -> AsyncIterator[Run]:
        async def submit(command_id: str, args: dict[str, object], **more: object) -> Run:
            return await client.submit(Invocation(command_id=command_id, args=args, **more))

        for number, secret in enumerate(self.stored):
            yield await client.run(
                Invocation(command_id="secrets.set", args={"name": f"canaries/s{number}", "value": secret})
            )
            more = (
                {"labels": {"why": secret, f"l{secret}": "x"}, "session_id": f"of {secret}"} if number % 3 == 0 else {}
            )
            yield await submit("canaries.stored", {"name": f"s{number}"}, **more)
            if number % 4 == 0:
                yield await submit("canaries.given", {"text": f"with {secret}"})
                yield await client.submit(
                    Invocation(line=f"canaries.given --text {json.dumps(base64.b64encode(secret.encode()).decode())}")
                )
        for number, secret in enumerate(self.args):
            forms: tuple[dict[str, object], ...] = (
                {"word": secret}, {"deep": {"a": secret, "b": [secret]}}, {"password": secret},
                {"options": {"db_password": secret}}, {"number": int(secret[:10], 16) + 10**9, "word": secret},
            )  # fmt: skip
            yield await submit("canaries.given", forms[number % len(forms)], idempotency_key=f"key-{number}")
        for number in range(len(self.registered)):
            yield await submit("canaries.registered", {"number": number})
            yield await submit("canaries.broken", {"number": number, "how": HOWS[number % len(HOWS)]})
        yield await submit("canaries.large", {"number": 0})
        for number, secret in enumerate(self.programs):
            name = ("by_env", "by_stdin", "lines", "document")[number % 4]
            status = {"status": number // 4 % 2} if name.startswith("by_") else {}
            yield await submit(f"scripts.{name}", {**status, "word": secret})
        yield await submit("scripts.by_config", {})

    async def _ask(self, client: Client) -> None:
        """Everything that can be asked, and what is refused."""
        for number in (0, 1):
            await self._tried(client.query("canaries.look", {"number": number}))
            await self._tried(client.query("canaries.looked_wrong", {"number": number}))
            await self._tried(client.run(Invocation(command_id="canaries.unkept", args={"number": number})))
        secret, word = self.stored[0], self.args[0]
        await self._tried(client.query(f"canaries.{secret}"))
        for invocation in (
            Invocation(command_id=f"canaries.{secret}"),
            Invocation(command_id="canaries.refused", args={"word": word}),
            Invocation(command_id="canaries.refused", args={"text": secret}),
            Invocation(command_id="canaries.child", args={secret: 1}),
            Invocation(command_id="canaries.registered", args={"number": secret}),
            Invocation(command_id="canaries.child", args={"text": "x"}, idempotency_key=secret),
            Invocation(line=f"canaries.child --{secret.split()[0]} 'x"),
        ):
            await self._tried(client.run(invocation))
        await self._tried(client.wait(secret))
        await client.meta()
        for query in (
            "runs.list",
            "host.status",
            "host.config",
            "log.query",
            "secrets.list",
            "plugins.list",
            "lanes.list",
        ):
            await self._tried(client.query(query))
        for stream in ("host", "host/log", "canaries/log", "canaries/own", "state/host"):
            await self._read(client, stream)

    async def _read(self, client: Client, stream: str) -> None:
        with contextlib.suppress(TrunnionError):
            async for _ in client.follow(stream, live=False):
                pass

    async def _tried(self, wish: Awaitable[object]) -> object:
        with contextlib.suppress(TrunnionError, StopAsyncIteration):
            return await wish
        return None

    def work(self) -> None:
        async def worked() -> None:
            async with self.recorded.client(self.ground.root / "p.sock", self.ground.socket) as client:
                await self.plant(client)

        with self.watched.watching():
            asyncio.run(worked())

    # -- what is found ----------------------------------------------------------------------------

    def found(self) -> dict[str, dict[str, bytes]]:
        """By place: files of the data directory as they lie there, logs, what the host said, what a client got."""
        files = [path for path in self.ground.data.rglob("*") if path.is_file()]
        files += [host.output for host in self.ground.hosts]
        places = {str(path.relative_to(self.ground.root)): path.read_bytes() for path in files}
        places["socket"] = bytes(self.recorded.received)
        return {place: found for place, data in places.items() if (found := self.search.found(data))}


def shown(found: dict[str, dict[str, bytes]]) -> str:
    return "\n".join(
        f"{place}: {len(hits)} canaries, such as {next(iter(hits.values()))!r}" for place, hits in found.items()
    )


def test_n4_two_hundred_canaries_are_found_nowhere(ground: Ground) -> None:
    planted = Planted(ground, 200)
    host = planted.up()
    planted.work()
    assert not planted.found(), shown(planted.found())  # with the write-ahead log as it is
    assert not planted.watched.wrong, planted.watched.wrong[:5]
    assert planted.watched.looks > 20
    assert planted.watched.given.keys() <= {*planted.programs[::4], planted.daemon[-1]}
    assert planted.watched.given
    host.kill()
    assert not planted.found(), shown(planted.found())
    host = planted.up()
    ground.drained()
    assert host.stop() == 0
    assert not planted.found(), shown(planted.found())
    print(f"{len(planted.recorded.received)} bytes received, {planted.watched.looks} looks at processes")


def test_n4_without_the_defence_they_are_found(ground: Ground) -> None:
    planted = Planted(ground, 20)
    planted.up(without="show_secrets")
    planted.work()
    found = planted.found()
    assert {"socket", "data/db/trunnion.sqlite-wal", "data/logs/host.jsonl"} <= found.keys(), found.keys()
    everywhere = set[str]().union(*found.values())
    assert everywhere == set(planted.secrets)


# -- what a program can do with its secret -----------------------------------------------------------------


def output_of(ground: Ground, run: Run) -> str:
    async def read(client: Client) -> str:
        return "".join([e.text async for batch in client.follow(f"run/{run.id}", live=False) for e in batch])

    return ground.talk(read)


def test_n5_a_program_echoes_its_secret_in_pieces_and_in_other_forms(ground: Ground) -> None:
    secret = f"{ground.random.getrandbits(64):016x}/ä'z"
    planted = Planted(ground, 5)
    planted.up()
    program = Invocation(command_id="scripts.by_env", args={"status": 1, "word": secret})
    run = ground.talk(lambda client: client.run(program))
    said = output_of(ground, run)
    assert not Search([secret]).found(said.encode())
    assert said.count("•••") >= 4 * 3 * 2 + 2
    assert run.error is not None
    assert "•••" in run.error.message


def test_n5_a_secret_of_several_lines_is_printed_in_pieces(ground: Ground) -> None:
    secret = "first-0123456789\nsecond-0123456789\nthird"
    Planted(ground, 5).up()
    said = output_of(ground, ask(ground, "canaries.pieces", word=secret))
    assert not [line for line in secret.split("\n") if line in said]
    assert "first-" not in said
    assert said.count("•••") == 4


def test_n5_other_codes_are_not_promised(ground: Ground) -> None:
    """The limit that docs/secrets.md states: what is written in a code that is not promised is shown."""
    secret = "hunter2-canary"
    Planted(ground, 5).up()
    hidden = {"word": secret, "text": secret.encode().hex()}
    run = ground.talk(lambda client: client.run(Invocation(command_id="canaries.given", args=hidden)))
    assert secret.encode().hex() in output_of(ground, run)
    assert secret not in output_of(ground, run)


# -- the key of the sealed store -----------------------------------------------------------------------


def lost(data: Path) -> None:
    (data / "secret.key").unlink()


def another(data: Path) -> None:
    from trunnion.access.key_file import make_key, write_key

    write_key(data / "secret.key", make_key())


def damaged(data: Path) -> None:
    content = (data / "secret.key").read_bytes()
    (data / "secret.key").write_bytes(content[:30])


def open_to_others(data: Path) -> None:
    (data / "secret.key").chmod(0o644)


def ask(ground: Ground, command_id: str, **args: object) -> Run:
    return ground.talk(lambda client: client.run(Invocation(command_id=command_id, args=args)))


@pytest.mark.parametrize(
    ("harm", "said", "seals"),
    [(lost, "is not there: put back", True), (another, "has the key", True),
     (damaged, "is damaged", False), (open_to_others, "chmod 600", False)],
)  # fmt: skip
def test_n6_without_its_key_the_store_names_it_and_the_host_works(
    ground: Ground, harm: Callable[[Path], None], said: str, seals: bool
) -> None:
    planted = Planted(ground, 5)
    planted.up()
    assert ask(ground, "secrets.set", name="canaries/s0", value=planted.stored[0]).status == "succeeded"
    assert ground.hosts[-1].stop() == 0
    harm(ground.data)
    planted.up()
    run = ask(ground, "canaries.stored", name="s0")
    assert (run.status, run.error and run.error.code) == ("failed", "unavailable")
    assert run.error is not None
    assert said in run.error.message
    assert str(ground.data / "secret.key") in run.error.message
    assert ask(ground, "canaries.child", text="x").result == "x"
    if seals:
        assert ask(ground, "canaries.given", word="hunter2-canary").status == "succeeded"
        assert ask(ground, "secrets.set", name="canaries/s0", value=planted.stored[0]).status == "succeeded"
        assert ask(ground, "canaries.stored", name="s0").status == "succeeded"
    else:
        with pytest.raises(TrunnionError, match=said):
            ask(ground, "canaries.given", word="hunter2-canary")
    assert not planted.found(), shown(planted.found())


def test_n6_a_copy_of_the_data_without_the_key_tells_nothing(
    ground: Ground, make_ground: Callable[..., Ground]
) -> None:
    planted = Planted(ground, 5)
    planted.up()
    assert ask(ground, "secrets.set", name="canaries/s0", value=planted.stored[0]).status == "succeeded"
    assert ground.hosts[-1].stop() == 0
    elsewhere = make_ground("elsewhere")
    copy = Planted(elsewhere, 5)
    shutil.copytree(ground.data, elsewhere.data, ignore=shutil.ignore_patterns("secret.key", "run", "*.lock"))
    copy.up()
    listed = elsewhere.talk(lambda client: client.query("secrets.list"))
    assert [(item["name"], item["readable"]) for item in listed["items"]] == [("canaries/s0", False)]
    assert not planted.search.found(b"".join(p.read_bytes() for p in elsewhere.data.rglob("*") if p.is_file()))


@pytest.mark.parametrize("moment", ["begun", "documents", "runs", "finished"])
def test_n6_killed_while_the_key_is_changed(ground: Ground, moment: str) -> None:
    planted = Planted(ground, 5)
    host = planted.ground.start(without="die_rotating", DIE_AT=moment, **planted.env).wait_ready()
    assert ask(ground, "secrets.set", name="canaries/s0", value=planted.stored[0]).status == "succeeded"
    waiting = Invocation(
        command_id="canaries.given", args={"word": planted.args[0]}, not_before=int(time.time() * 1e6) + 3_600_000_000
    )
    run = ground.talk(lambda client: client.submit(waiting))
    key = (ground.data / "secret.key").read_bytes()
    with pytest.raises(TrunnionError):
        ask(ground, "secrets.rotate")
    host.process.wait(20)
    planted.up()
    assert (ground.data / "secret.key").read_bytes() != key
    assert not list(ground.data.glob("secret.key.*"))
    assert ask(ground, "canaries.stored", name="s0").status == "succeeded"
    sealed = sqlite3.connect(ground.data / "db" / "trunnion.sqlite")
    try:
        ((row,),) = sealed.execute("SELECT sealed FROM live WHERE sealed IS NOT NULL").fetchall()
    finally:
        sealed.close()
    assert (
        Sealer(ground.data / "secret.key").open(run.id, row)
        == json.dumps({"word": planted.args[0]}, ensure_ascii=False, separators=(",", ":")).encode()
    )
    assert not planted.found(), shown(planted.found())


# -- logs ----------------------------------------------------------------------------------------------


def test_n1_one_record_stays_one_line(ground: Ground) -> None:
    odd = "a\nb\rc\0d\x85e\u2028f\u2029g\x0bh\x0ci"
    planted = Planted(ground, 5)
    planted.up()
    ask(ground, "canaries.noted", text=odd)
    lines = (ground.data / "logs" / "host.jsonl").read_bytes()
    records = [json.loads(line) for line in lines.decode("ascii").splitlines()]
    assert lines.count(b"\n") == len(records)
    assert [record["text"] for record in records].count(odd) == 1
