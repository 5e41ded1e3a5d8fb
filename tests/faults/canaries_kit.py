"""Canaries: secrets given by every way in, and a search of everything a host leaves and shows.

A secret is allowed in two places: sealed in the database, and in the one process that was given it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote

from ahocorasick_rs import BytesAhoCorasick
from faults_kit import Ground, Up, tagged

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


def ask(ground: Ground, command_id: str, **args: object) -> Run:
    """The run of a command over the socket, at its end."""
    return ground.talk(lambda client: client.run(Invocation(command_id=command_id, args=args)))
