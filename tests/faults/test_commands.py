"""Part I: what is asked for cannot become more than what was allowed."""

from __future__ import annotations

import ast
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest

from trunnion import Caller, Command, Conflict, Host, HostOptions, InvalidArguments, Invocation, Query, StreamSource
from trunnion.access.directory import Directory
from trunnion.access.policy import Decision
from trunnion.arguments import Bound, Parameters, Secret, join_line
from trunnion.hookspecs import hookimpl
from trunnion.kernel import admission
from trunnion.kernel.registry import Contributed
from trunnion.model.access import Principal
from trunnion.model.errors import TrunnionError
from trunnion_scripts import plugin as scripts
from trunnion_scripts import request

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
Open = Callable[..., AbstractAsyncContextManager[Host]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def start(tmp_path: Path) -> Open:
    @asynccontextmanager
    async def start(config: str = "", **plugins: object) -> AsyncIterator[Host]:
        path = tmp_path / "trunnion.toml"
        path.write_text(config)
        options = HostOptions(config_path=path, data_dir=tmp_path / "data")
        given = {"scripts": scripts, **plugins}
        async with Host(options, plugins=given, discovery=False, environ={}) as host:
            yield host

    return start


async def ended(host: Host, **asked: object) -> object:
    """The run of an invocation by the owner, at its end."""
    door, caller = host.door("cli"), host.local_caller()
    run = await door.submit(caller, Invocation(**asked))  # type: ignore[arg-type]
    return await door.wait(caller, run.id, 20)


# -- I1: shell metacharacters ---------------------------------------------------------------------

SAY = f"""
[scripts.say]
run = ["{sys.executable}", "-c", '''
import json, os, sys
print(json.dumps([sys.argv[1:], os.environ["GIVEN"], sys.stdin.read()]))''',
    "--word={{word}}", "--", "{{word}}", "{{*more}}", "a{{word}}b"]
stdin = "{{word}}"
output = "json"
lock = ""
[scripts.say.env]
GIVEN = "{{word}}"
[scripts.say.args.word]
type = "string"
required = true
[scripts.say.args.more]
type = "array"
items = {{ type = "string" }}
"""


def metacharacters(canary: Path) -> list[str]:
    touch = f"touch {canary}"
    return [
        f"; {touch}", f"| {touch}", f"& {touch}", f"&& {touch}", f"|| {touch}", f"$({touch})", f"`{touch}`",
        f"\n{touch}\n", f"\r\n{touch}", f"'; {touch}; '", f'"; {touch}; "', f"$'\\n{touch}'", f"<({touch})",
        f"> {canary}", f">> {canary}", f"2> {canary}", f"{{{touch},}}", f"\\; {touch}", f"%0a{touch}",
        f"x\\'; {touch} #",         f"${{IFS}}{touch}", f"--\n{touch}", f"@{canary}", f"!{touch}",
        "$HOME", "~", "*", "?", "[a-z]*", "{a,b}", "#x",
        "a b", "\t", "", " ", "\\", "'", '"', "$$", "$0", "^x^y", "é; \u202e", "%s%n", "{word}", "{{word}}",
        "\x7f\x1b[2J",
    ]  # fmt: skip


async def test_i1_shell_metacharacters_are_text(start: Open, tmp_path: Path) -> None:
    """Word, list, part of a word, variable, input: each gets exactly what was given, and nothing else happens."""
    canary, wrong = tmp_path / "canary", []
    corpus = metacharacters(canary)
    async with start(SAY) as host:
        for text in corpus:
            run = await ended(host, command_id="scripts.say", args={"word": text, "more": [text, text]})
            said = [[f"--word={text}", "--", text, text, text, f"a{text}b"], text, text]
            if run.error is not None or run.result["output"] != said:
                wrong.append((text, run.error, run.result))
        line = join_line([f"--word={corpus[0]}"])
        run = await ended(host, command_id="scripts.say", line=line)
        assert run.result["output"][1] == corpus[0], run
    assert not wrong
    assert not canary.exists()


async def test_i1_with_a_shell_in_between(start: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The canary sings when somebody builds a line for a shell, so that its silence means something."""
    canary = tmp_path / "canary"
    words = request.words
    monkeypatch.setattr(request, "words", lambda *args: ["/bin/sh", "-c", " ".join(words(*args))])
    async with start('[scripts.say]\nrun = ["echo", "{word}"]\nargs = { word = { type = "string" } }') as host:
        await ended(host, command_id="scripts.say", args={"word": f"; touch {canary} ;"})
    assert canary.exists()


SHELLS = {"system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell"}
STARTERS = {"run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec", "posix_spawn", "execv"}


def shell_lines(source: str) -> list[str]:
    """Calls by which a line, not a list of words, would start a program."""
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and _is_shell(node)]


def _is_shell(call: ast.Call) -> bool:
    name = (
        call.func.attr
        if isinstance(call.func, ast.Attribute)
        else call.func.id
        if isinstance(call.func, ast.Name)
        else ""
    )
    module = (
        call.func.value.id if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) else ""
    )
    shell = any(
        k.arg == "shell" and not (isinstance(k.value, ast.Constant) and not k.value.value) for k in call.keywords
    )
    of_text = bool(call.args) and isinstance(call.args[0], ast.JoinedStr | ast.BinOp)
    return shell or name in SHELLS or (module == "subprocess" and name in STARTERS and of_text)


def test_i1_no_source_starts_a_shell_line() -> None:
    files = [*(ROOT / "host" / "src").rglob("*.py"), *(ROOT / "plugins").glob("*/src/**/*.py")]
    assert len(files) > 100
    assert {str(file): found for file in files if (found := shell_lines(file.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    ["subprocess.run(x, shell=True)", "subprocess.Popen(x, shell=flag)", "os.system(x)", "os.popen('ls')",
     "await asyncio.create_subprocess_shell(x)", "subprocess.getoutput(x)", "subprocess.run(f'ls {x}')"],
)  # fmt: skip
def test_i1_the_scan_finds_what_it_looks_for(source: str) -> None:
    assert shell_lines(f"async def f():\n    {source}\n")
    assert not shell_lines("subprocess.run(['ls', x], shell=False)")


# -- I2: options ----------------------------------------------------------------------------------

TAKES = f"""
[scripts.copy]
run = ["{sys.executable}", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", "--level={{level}}",
    "{{level}}", "{{source}}", "{{*more}}", "--", "{{last}}"]
output = "json"
lock = ""
[scripts.copy.args.source]
type = "string"
[scripts.copy.args.level]
type = "integer"
[scripts.copy.args.last]
type = "string"
[scripts.copy.args.more]
type = "array"
items = {{ type = "string" }}
"""
OPTIONS = [
    "-",
    "--",
    "-o",
    "-rf",
    "--output=/tmp/x",
    "--help",
    "--version",
    "-9",
    "--\n",
    "-\u202e",
    "--level=1",
    "---",
]


@pytest.mark.parametrize("option", OPTIONS)
async def test_i2_no_value_becomes_an_option(start: Open, option: str) -> None:
    """Refused where the program would take it for one; text where it cannot be one."""
    async with start(TAKES) as host:
        for args in ({"source": option}, {"more": ["x", option]}, {"source": "", "more": [option]}, {"level": -9}):
            for asked in ({"args": args}, {"argv": argv_of(args)}):
                with pytest.raises(InvalidArguments, match="option"):
                    await ended(host, command_id="scripts.copy", **asked)
        run = await ended(host, command_id="scripts.copy", args={"source": "a", "last": option, "level": 3})
        assert run.result["output"] == ["--level=3", "3", "a", "--", option]
        page = await host.door("cli").query(host.local_caller(), "runs.list", {})
    assert len(page["items"]) == 1


def argv_of(args: dict[str, object]) -> tuple[str, ...]:
    return tuple(f"--{name}={json.dumps(value) if name != 'source' else value}" for name, value in args.items())


async def test_i2_without_the_guard_it_would(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunnion_scripts.template._refuse_option", lambda *_: None)
    async with start(TAKES) as host:
        run = await ended(host, command_id="scripts.copy", args={"source": "--output=/tmp/x"})
    assert run.result["output"] == ["--output=/tmp/x", "--"]


# -- I3: extra arguments --------------------------------------------------------------------------

RESERVED = [
    "ctx", "context", "self", "caller", "args", "argv", "line", "command_id", "principal", "source", "role", "chain",
    "credential", "run_id_", "parent_run_id", "lock_key", "idempotency_key", "labels", "revision", "__class__",
    "__init__", "_", "", "ot_executionTrackingId", "ot_username", "$ref", "constructor", "__proto__", "a.b", "a b",
    "-x", "--",    "é", "\x00",
]  # fmt: skip


async def accepted(host: Host) -> list[str]:
    """Where an argument nobody declared gets by, at any command or query there is."""
    door, caller, found = host.door("cli"), host.local_caller(), []
    registry = host.kernel.registry
    for entry in [*registry.all_commands(), *registry.all_queries()]:
        ask = (
            door.query if registry.query(entry.id) else lambda c, n, a: door.submit(c, Invocation(command_id=n, args=a))
        )
        for name in RESERVED:
            if name in entry.parameters.schema["properties"]:
                continue
            try:
                await ask(caller, entry.id, {name: "x"})
                found.append(f"{entry.id} {name!r}")
            except TrunnionError as error:
                problems = error.details.get("problems", [])
                if error.code != "invalid_arguments" or not any(p["path"] == name for p in problems):
                    found.append(f"{entry.id} {name!r}: {error.code} {error.message}")
    return found


async def test_i3_extra_and_reserved_arguments_are_refused_everywhere(start: Open) -> None:
    async with start(SAY + TAKES) as host:
        assert len(host.kernel.registry.all_commands()) > 8
        assert await accepted(host) == []
        page = await host.door("cli").query(host.local_caller(), "runs.list", {})
    assert page["items"] == []


async def test_i3_without_validation_they_are_not(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def unjudged(parameters: Parameters, args: dict[str, object] | None, argv: object) -> Bound:
        return Bound(dict(args or {}), dict(args or {}))

    monkeypatch.setattr(admission, "bind", unjudged)
    async with start(SAY) as host:
        assert any(name.startswith("scripts.say") for name in await accepted(host))


# -- I5: what is not exposed ----------------------------------------------------------------------


def nothing() -> None:
    """Do nothing."""


async def no_events(stream: str, after: int, limit: int = 0) -> list[object]:
    return []


def hidden() -> object:
    """Everything a remote door may not see, and one thing it may."""

    @hookimpl
    def trunnion_commands() -> list[Command]:
        return [
            Command.of(nothing, console="hidden", name="alpha", aliases=("hidden.aleph",), lock=None),
            Command.of(nothing, console="open", name="gate", role="viewer", lock=None, expose=frozenset({"web"})),
        ]

    @hookimpl
    def trunnion_queries() -> list[Query]:
        return [Query.of(nothing, console="hidden", name="query")]

    @hookimpl
    def trunnion_streams() -> list[StreamSource]:
        return [StreamSource(pattern="hidden/*"), StreamSource(pattern="open/*", expose=frozenset({"web"}))]

    return SimpleNamespace(
        trunnion_commands=trunnion_commands, trunnion_queries=trunnion_queries, trunnion_streams=trunnion_streams
    )


STRANGERS = [
    Caller("ann", "web", "operator"),
    Caller("bob", "rpc", "viewer"),
    Caller("eve", "web", "viewer", (), "password"),
]
TWINS = {"hidden.alpha": "hidden.gamma", "hidden.aleph": "hidden.zayin", "hidden.query": "hidden.quark"}


async def told_apart(host: Host) -> list[str]:
    """Where something a caller may not see is answered otherwise than something that is not there."""
    host.kernel.policy.replace(Directory(principals=[Principal(name="eve", role="operator", has_password=True)]))
    owner = host.local_caller()
    run = await host.door("cli").submit(owner, Invocation(command_id="hidden.alpha"))
    await host.door("cli").wait(owner, run.id)
    absent_run = run.id[:-12] + ("0" * 12 if not run.id.endswith("0" * 12) else "1" * 12)
    down = Command.of(nothing, console="hidden", name="down", lock=None)
    host.kernel.registry.replace("driver", Contributed(commands=[down]), available=False)
    names = {**TWINS, "hidden.down": "hidden.dawn", "hidden/log": "nowhere/lg", f"run/{run.id}": f"run/{absent_run}"}
    names |= {run.id: absent_run}
    found = []
    for caller in STRANGERS:
        for there, absent in names.items():
            for way, ask in WAYS.items():
                one, other = [await answer(ask, host, caller, name) for name in (there, absent)]
                if one != other:
                    found.append(f"{way} {there} by {caller.principal} at {caller.source}: {one} but {other}")
    return found


async def answer(ask: Callable[..., object], host: Host, caller: Caller, name: str) -> bytes:
    """What is said of a name, byte by byte, with the name itself cut out."""
    door = host.door(caller.source)
    before = dict(host.kernel.admissions.counts)
    try:
        said = repr(await ask(door, caller, name))
    except TrunnionError as error:
        said = json.dumps([error.code, error.message, error.details], sort_keys=True)
    counted = {code: n - before.get(code, 0) for code, n in host.kernel.admissions.counts.items()}
    return (said + repr(sorted((k, n) for k, n in counted.items() if n))).replace(name, "NAME").encode()


async def _followed(door: object, caller: Caller, name: str) -> list[object]:
    return [event async for batch in door.follow(caller, name, live=False) for event in batch]  # type: ignore[attr-defined]


WAYS = {
    "submit": lambda d, c, n: d.submit(c, Invocation(command_id=n)),
    "bad arguments": lambda d, c, n: d.submit(c, Invocation(command_id=n, args={"nope": 1})),
    "stale revision": lambda d, c, n: d.submit(c, Invocation(command_id=n, revision="0" * 64)),
    "line": lambda d, c, n: d.submit(c, Invocation(line=f"{n} --nope")),
    "query": lambda d, c, n: d.query(c, n, {}),
    "query, bad arguments": lambda d, c, n: d.query(c, n, {"nope": 1}),
    "complete": lambda d, c, n: d.complete(c, n, (), ""),
    "follow": _followed,
    "get": lambda d, c, n: d.get(c, n),
    "wait": lambda d, c, n: d.wait(c, n, 0.01),
    "cancel": lambda d, c, n: d.cancel(c, n),
    "runs.get": lambda d, c, n: d.query(c, "runs.get", {"run_id": n}),
    "explain": lambda d, c, n: d.query(c, "host.explain", {"target": n}),
}


async def test_i5_what_is_not_exposed_is_like_what_is_not_there(start: Open) -> None:
    async with start(hidden=hidden()) as host:
        assert await told_apart(host) == []
        stranger = STRANGERS[0]
        assert (await host.door("web").submit(stranger, Invocation(command_id="open.gate"))).command_id == "open.gate"
        for caller in STRANGERS:
            meta = host.door(caller.source).meta(caller).body
            assert b"hidden." not in meta
            assert b"hidden/" not in meta


async def test_i5_when_policy_lets_it_be_seen(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decision, "visible", property(lambda self: True))
    async with start(hidden=hidden()) as host:
        assert any("hidden.alpha" in line for line in await told_apart(host))


# -- I9: idempotency keys -------------------------------------------------------------------------


def pay(amount: int = 1, *, code: Annotated[str, Secret()] = "") -> int:
    """Pay."""
    return amount


def payments() -> object:
    """Two commands people may have with the same arguments."""

    @hookimpl
    def trunnion_commands() -> list[Command]:
        remote = frozenset({"web"})
        return [
            Command.of(pay, console="t", name=name, role="viewer", lock=None, expose=remote) for name in ("pay", "tip")
        ]

    return SimpleNamespace(trunnion_commands=trunnion_commands)


SAME = {"command_id": "t.pay", "args": {"amount": 5, "code": "s3cret-code"}}
OTHERS = {
    "another amount": {**SAME, "args": {"amount": 6, "code": "s3cret-code"}},
    "another secret": {**SAME, "args": {"amount": 5, "code": "s3cret-c0de"}},
    "no secret": {**SAME, "args": {"amount": 5}},
    "as words": {"command_id": "t.pay", "argv": ("--amount=7", "--code=s3cret-code")},
    "another command": {**SAME, "command_id": "t.tip"},
}


@pytest.mark.parametrize("asked", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("when", ["while it is admitted", "after its end", "after a restart"])
async def test_i9_a_key_with_anything_else_is_a_conflict(start: Open, asked: dict[str, object], when: str) -> None:
    async with start(pays=payments()) as host:
        door, ann = host.door("cli"), host.local_caller()
        first = asyncio.create_task(door.submit(ann, Invocation(**SAME, idempotency_key="k")))
        if when == "while it is admitted":
            await asyncio.sleep(0)  # its first step, no more
            assert not first.done()
            await _conflicts(host, asked)
        run = await first
        await door.wait(ann, run.id)
        if when == "after its end":
            await _conflicts(host, asked)
    async with start(pays=payments()) as host:
        await _conflicts(host, asked)
        assert await _runs(host) == [run.id]
        again = await host.door("tty").submit(host.local_caller("tty"), Invocation(**SAME, idempotency_key="k"))
        assert again.id == run.id


async def _conflicts(host: Host, asked: dict[str, object]) -> None:
    with pytest.raises(Conflict, match="idempotency key 'k'") as refused:
        await host.door("cli").submit(host.local_caller(), Invocation(**asked, idempotency_key="k"))
    assert "s3cret" not in repr((refused.value.message, refused.value.details))


async def _runs(host: Host) -> list[str]:
    page = await host.door("cli").query(host.local_caller(), "runs.list", {})
    return [item["id"] for item in page["items"]]


async def test_i9_keys_are_per_user(start: Open) -> None:
    """Another's key gets no run of another, and says nothing about there being one."""
    people = [Principal(name=name, role="operator", has_password=True) for name in ("ann", "bob")]
    async with start(pays=payments()) as host:
        host.kernel.policy.replace(Directory(principals=people))
        door = host.door("web")
        ann, bob = (Caller(person.name, "web", "viewer", (), "password") for person in people)
        one = await door.submit(ann, Invocation(**SAME, idempotency_key="k"))
        other = await door.submit(bob, Invocation(**OTHERS["another amount"], idempotency_key="k"))
        same = await door.submit(bob, Invocation(**OTHERS["another amount"], idempotency_key="k"))
        assert one.id != other.id == same.id
        assert [(run.principal, run.args["amount"]) for run in (one, other)] == [("ann", 5), ("bob", 6)]
        await door.wait(ann, one.id)
        with pytest.raises(TrunnionError) as refused:
            await door.wait(bob, one.id, 1)
        assert refused.value.code == "not_found"


async def test_i9_when_arguments_are_not_compared(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_same", lambda *_: None)
    async with start(pays=payments()) as host:
        await host.door("cli").submit(host.local_caller(), Invocation(**SAME, idempotency_key="k"))
        with pytest.raises(pytest.fail.Exception):
            await _conflicts(host, OTHERS["another amount"])
