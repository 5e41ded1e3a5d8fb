"""Commands that say secrets in every way there is. What is secret comes from a file outside the data directory."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec

from trunnion import (
    Command,
    CommandFailed,
    Context,
    Daemon,
    Event,
    HostHandle,
    Json,
    MetaSection,
    Query,
    Ready,
    Secret,
    Secrets,
    StreamSource,
    hookimpl,
)  # fmt: skip

SHOWN = 11
"""Characters of a secret before the place where a text is cut: enough to be found by."""

PLACE = Path(os.environ.get("CANARIES", os.devnull))


def spelled(secret: str) -> Iterator[str]:
    """In all promised forms."""
    yield secret
    yield json.dumps({"at": secret})
    yield json.dumps({"at": secret}, ensure_ascii=False)
    yield "https://host/?q=" + quote(secret, safe="")
    yield repr({"at": secret})
    yield repr(secret.encode())
    yield base64.b64encode(secret.encode()).decode()
    yield base64.urlsafe_b64encode(secret.encode()).decode()
    for before in (b"u:", b"us:", b"use:"):
        yield base64.b64encode(before + secret.encode() + b"@host").decode()


class Wrapped:
    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"Wrapped({self.secret!r})"


async def say(ctx: Context, secret: str) -> dict[str, Json]:
    """In every kind of event, and in the result."""
    ctx.stats.add(f"tried {secret}")
    for text in spelled(secret):
        ctx.echo(text)
        print("printed", text)
        ctx.log(text, data={"said": [text, {"deep": text}], text: 1})
        logging.getLogger("canaries").warning("logged %s", text)
        ctx.progress(1, 2, text)
        ctx.table([[text, 1]], headers=[text], title=text)
        ctx.data({"value": text}, text)
        ctx.emit("own_kind", text, {"value": text})
        ctx.text(text + "\n")
        await ctx.flush()
    for size in (1, 3, 7):
        for at in range(0, len(secret), size):
            ctx.write(secret[at : at + size])
        ctx.write("\n")
        for at in range(0, len(secret), size):
            print(secret[at : at + size], end="")
        print(f"\r{secret}\rdone")
    ctx.write("x" * ((64 << 10) - SHOWN) + secret + "\n")
    ctx.log("y" * ((64 << 10) - SHOWN) + secret)
    await ctx.artifact(f"from {secret}.txt", b"nothing", "text/plain")
    return {"said": list(spelled(secret)), secret: 1}


def fail(ctx: Context, secret: str, how: str) -> None:
    """With a traceback that shows it, from a thread."""
    print(secret[: len(secret) // 2], end="", file=sys.stderr)
    print(secret[len(secret) // 2 :], file=sys.stderr)
    if how == "expected":
        raise CommandFailed(f"{secret} was refused", {"with": secret, "as": list(spelled(secret))})
    if how == "long":
        raise ValueError("z" * ((16 << 10) - len("ValueError: ") - SHOWN) + secret)
    if how == "no json":
        return {"wrapped": Wrapped(secret)}  # type: ignore[return-value]
    try:
        raise KeyError(secret)
    except KeyError as error:
        raise RuntimeError(f"{Wrapped(secret)} {secret.encode()!r}") from error


def pieces(ctx: Context, *, word: Annotated[str | None, Secret()] = None) -> None:
    """In pieces, and over the place where a line that does not end is cut."""
    half = len(word or "") // 2
    for size in (1, 3, half):
        for at in range(0, len(word or ""), size):
            print((word or "")[at : at + size], end="")
        print()
    ctx.write("x" * (64 << 10) + (word or "")[:half])
    ctx.write((word or "")[half:] + "\n")


async def stored(ctx: Context, name: str) -> Json:
    return await say(ctx, await ctx.require(Secrets).get(name))


async def given(
    ctx: Context,
    *,
    word: Annotated[str | None, Secret()] = None,
    deep: Annotated[dict[str, Json] | None, Secret()] = None,
    number: Annotated[int | None, Secret()] = None,
    password: str = "",
    options: dict[str, Json] | None = None,
    text: str = "",
) -> Json:
    secrets = [word, password, *json.loads(json.dumps(list((deep or {}).values()))), str(number or ""), text]
    secrets += [str(value) for value in (options or {}).values() if isinstance(value, str)]
    flat = [leaf for secret in secrets for leaf in (secret if isinstance(secret, list) else [secret]) if leaf]
    return [await say(ctx, str(secret)) for secret in flat]


async def registered(ctx: Context, number: int) -> Json:
    """One it learned by itself."""
    secret = json.loads(PLACE.read_text())["registered"][number]
    ctx.require(Secrets).register(secret)
    await ctx.invoke("canaries.child", text=f"for {secret}")
    return await say(ctx, secret)


async def child(text: str) -> str:
    return text


def broken(ctx: Context, number: int, how: str) -> None:
    secret = json.loads(PLACE.read_text())["registered"][number]
    ctx.require(Secrets).register(secret)
    fail(ctx, secret, how)


def noted(ctx: Context, text: str) -> None:
    """A line of the host's own log, from beside the run."""
    thread = threading.Thread(target=logging.getLogger("canaries").warning, args=("%s", text))
    thread.start()
    thread.join()


async def large(ctx: Context, number: int) -> Json:
    """A result that is kept as a file."""
    secret = json.loads(PLACE.read_text())["registered"][number]
    ctx.require(Secrets).register(secret)
    return [*spelled(secret), "x" * (2 << 20)]


async def unkept(number: int) -> str:
    return str(json.loads(PLACE.read_text())["registered"][number])


def check(values: dict[str, object]) -> str | None:
    return f"{values} will not do"


async def refused(*, word: Annotated[str | None, Secret()] = None, text: str = "") -> None:
    pass


def look(number: int) -> Json:
    secret = json.loads(PLACE.read_text())["registered"][number]
    return {"items": [{"name": text} for text in spelled(secret)]}


def looked_wrong(number: int) -> Json:
    raise ValueError(json.loads(PLACE.read_text())["registered"][number])


async def read_own(stream: str, after: int, limit: int) -> list[Event]:
    """A stream that lives in the plugin, not in the host's log."""
    said = [text for secret in json.loads(PLACE.read_text())["daemon"] for text in spelled(secret)]
    events = [
        Event(
            stream, seq, 0, "text", text=text, raw=msgspec.Raw(json.dumps({"a": text}, separators=(",", ":")).encode())
        )
        for seq, text in enumerate(said, 1)
    ]
    return events[after : after + limit]


async def follow_own(stream: str, after: int) -> AsyncIterator[list[Event]]:
    yield await read_own(stream, after, 1 << 20)


async def daemon(host: HostHandle, ready: Ready) -> None:
    """Says what it knows on a stream of its own, to operators, and beside every run."""
    secrets = await host.require(Secrets)
    for secret in json.loads(PLACE.read_text())["daemon"]:
        secrets.register(secret)
        for text in spelled(secret):
            host.emit("canaries/log", "text", text, {"value": text})
            host.report("told", text)
            logging.getLogger("canaries").warning("told %s", text)
            print("beside", text)
        host.report("failed", secret, ValueError(secret))
        thread = threading.Thread(target=print, args=(secret,))
        thread.start()
        thread.join()
    ready()
    await asyncio.Event().wait()


@hookimpl
def trunnion_commands() -> list[Command]:
    made = [
        Command.of(function, console="canaries", lock=None)
        for function in (stored, given, registered, child, broken, large, noted, pieces)
    ]
    return [
        *made,
        Command.of(unkept, console="canaries", lock=None, keep="none"),
        Command.of(refused, console="canaries", lock=None, validate=check),
    ]


@hookimpl
def trunnion_queries() -> list[Query]:
    return [Query.of(look, console="canaries"), Query.of(looked_wrong, console="canaries")]


@hookimpl
def trunnion_streams() -> list[StreamSource]:
    return [
        StreamSource(pattern="canaries/log"),
        StreamSource(pattern="canaries/own", read=read_own, follow=follow_own),
    ]


@hookimpl
def trunnion_daemons() -> list[Daemon]:
    return [Daemon(name="canaries", run=daemon)]


@hookimpl
def trunnion_meta() -> list[MetaSection]:
    secrets = json.loads(PLACE.read_text())["daemon"]
    return [MetaSection(point="canaries", id="all", data=[text for s in secrets for text in spelled(s)])]
