"""I1, I2, I3: words stay words; no value becomes a command, an option or an argument nobody declared."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest
from commands_kit import Open, ended, opener

from trunnion import Host, InvalidArguments, Invocation
from trunnion.arguments import Bound, Parameters, join_line
from trunnion.kernel import admission
from trunnion.model.errors import TrunnionError
from trunnion_scripts import request

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def start(tmp_path: Path) -> Open:
    return opener(tmp_path)


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


async def test_i1_without_the_fault_a_plain_word_arrives(start: Open) -> None:
    async with start(SAY) as host:
        run = await ended(host, command_id="scripts.say", args={"word": "plain", "more": ["words"]})
    assert run.result["output"] == [["--word=plain", "--", "plain", "words", "aplainb"], "plain", "plain"]


async def test_i1_without_the_defence_a_shell_runs_it(
    start: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The canary sings when somebody builds a line for a shell, so that its silence means something."""
    canary = tmp_path / "canary"
    words = request.words
    monkeypatch.setattr(request, "words", lambda *args: ["/bin/sh", "-c", " ".join(words(*args))])
    async with start('[scripts.say]\nrun = ["echo", "{word}"]\nargs = { word = { type = "string" } }') as host:
        await ended(host, command_id="scripts.say", args={"word": f"; touch {canary} ;"})
    assert canary.exists()


SHELLS = {"system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell"}
STARTERS = {"run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec", "posix_spawn", "execv"}


THE_ONE = "host/src/trunnion/builtin/shell_command.py"
"""``shell.run``: by name, for admins, local; see ``test_commands_shell``."""


def shell_lines(source: str) -> list[str]:
    """Where a line, not a list of words, would start a program, or a shell would be one of the words."""
    nodes = list(ast.walk(ast.parse(source)))
    calls = [node for node in nodes if isinstance(node, ast.Call) and _is_shell(node)]
    words = [node for node in nodes if isinstance(node, ast.List | ast.Tuple) and _asks_a_shell(node)]
    names = [node for node in nodes if isinstance(node, ast.Constant) and _names_a_shell(node)]
    return [ast.unparse(node) for node in (*calls, *words, *names)]


def _asks_a_shell(words: ast.List | ast.Tuple) -> bool:
    """Words with ``-c`` among them; Python's own are no line for a shell."""
    options = [w.value for w in words.elts if isinstance(w, ast.Constant) and isinstance(w.value, str)]
    takes_a_line = any(re.fullmatch(r"-[a-z]*c", option) for option in options)
    return takes_a_line and ast.unparse(words.elts[0]) != "sys.executable"


def _names_a_shell(word: ast.Constant) -> bool:
    return isinstance(word.value, str) and re.fullmatch(r"(/[a-z/]*)/[a-z]*sh|SHELL", word.value) is not None


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
    found = {str(file.relative_to(ROOT)): lines for file in files if (lines := shell_lines(file.read_text()))}
    assert found == {THE_ONE: ["(shell, '-c', text)", "'/bin/sh'", "'SHELL'", "'SHELL'"]}


@pytest.mark.parametrize(
    "source",
    ["subprocess.run(x, shell=True)", "subprocess.Popen(x, shell=flag)", "os.system(x)", "os.popen('ls')",
     "await asyncio.create_subprocess_shell(x)", "subprocess.getoutput(x)", "subprocess.run(f'ls {x}')",
     "Spawn(argv=(shell, '-c', x))", "words = ['bash', '-lc', x]", "argv = ['/bin/sh', script]",
     "os.environ.get('SHELL')", "words = [python, '-c', x]"],
)  # fmt: skip
def test_i1_the_scan_finds_what_it_looks_for(source: str) -> None:
    assert shell_lines(f"async def f():\n    {source}\n")
    assert not shell_lines("subprocess.run(['ls', x], shell=False); [sys.executable, '-I', '-c', x]; 'not /bin/sh'")


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


async def test_i2_without_the_fault_plain_values_are_taken(start: Open) -> None:
    async with start(TAKES) as host:
        run = await ended(host, command_id="scripts.copy", args={"source": "a", "more": ["b"], "last": "c", "level": 3})
    assert run.result["output"] == ["--level=3", "3", "a", "b", "--", "c"]


async def test_i2_without_the_defence_a_value_becomes_an_option(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_i3_without_the_fault_declared_arguments_are_taken(start: Open) -> None:
    async with start(SAY) as host:
        assert (await ended(host, command_id="scripts.say", args={"word": "x", "more": []})).status == "succeeded"
        assert await host.door("cli").query(host.local_caller(), "runs.list", {"limit": 1})


async def test_i3_without_the_defence_they_are_accepted(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def unjudged(parameters: Parameters, args: dict[str, object] | None, argv: object) -> Bound:
        return Bound(dict(args or {}), dict(args or {}))

    monkeypatch.setattr(admission, "bind", unjudged)
    async with start(SAY) as host:
        assert any(name.startswith("scripts.say") for name in await accepted(host))
