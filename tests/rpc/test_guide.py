"""docs/rpc.md: what it shows is in the example, and what it types does what it says."""

from __future__ import annotations

import getpass
import re
import subprocess
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from clients_kit import PATIENCE, ROOT, Checkout, install, installed_buf, require
from rpc_kit import opened

from trunnion import Command, Context, Invocation, hookimpl
from trunnion.model.errors import ERROR_TABLE

GUIDE = (ROOT / "docs" / "rpc.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "rpc"
SERVICE = "http://localhost/trunnion.v1.RuntimeService"
BUF = ("buf", "curl", "--protocol", "grpc")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = Checkout(tmp_path_factory.mktemp("guide") / "trunnion", installed_buf(tmp_path_factory.mktemp("b") / "buf"))
    made.start()
    yield made
    made.stop()


# -- what it shows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trunnion.toml", "call.py", "node/call.js"])
def test_files_are_shown_whole(name: str) -> None:
    text = (EXAMPLE / name).read_text(encoding="utf-8")
    assert f"```{Path(name).suffix[1:].replace('py', 'python')}\n{text}```" in GUIDE


def test_what_is_shown_of_go_is_in_the_example() -> None:
    program = (EXAMPLE / "go/main.go").read_text(encoding="utf-8")
    shown = re.findall(r"```go\n(.*?)```", GUIDE, re.DOTALL)
    assert len(shown) == 2
    assert [block for block in shown if block not in program] == []


def test_every_code_is_in_the_table_with_its_status() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([A-Z_]+)` \| ([^|]*) \|", GUIDE, re.M)
    assert rows == [(code, row.grpc, row.meaning) for code, row in ERROR_TABLE.items()]


# -- what it types -----------------------------------------------------------------------------------------------------


HERE, _, _rest = GUIDE.partition("## From other machines\n")
ELSEWHERE, _, _rest = _rest.partition("\n## ")
HERE += _rest
"""The guide without the section on TLS, which needs a host of its own, and that section."""


def session(text: str) -> list[tuple[str, str]]:
    """Each command of the guide with what it prints, in order; a command goes on after a backslash."""
    typed: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            found = re.match(r"((?:[^\n]*\\\n)*[^\n]*\n)(.*)", part, re.DOTALL)
            assert found is not None
            typed.append((found[1], found[2]))
    return typed


def typed(checkout: Checkout, commands: list[str]) -> list[str]:
    """What commands print, both ways, one after the other in one shell of the example's folder."""
    mark = "-- next --\n"
    script = "".join(f"{command}printf '\\n{mark[:-1]}\\n'\n" for command in commands)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=checkout.place,
        env=checkout.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return [text.removesuffix("\n").removeprefix("\n") for text in done.stdout.split(mark)][: len(commands)]


def plain(text: str, checkout: Checkout) -> str:
    """A text without what is another one at each try, and as ``you`` would see it."""
    text = text.replace(str(checkout.root), "/home/you/trunnion").replace(f":{checkout.port}", ":50051")
    text = re.sub(rf"(?<![\w/.]){re.escape(getpass.getuser())}\b", "you", text)
    for pattern, instead in (
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b", "ID"),
        (r"token [a-z2-7]{12} of", "token T of"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
        (r'"id": "[0-9a-f]{8}"', '"id": "GRANT"'),
        (r'"commandRevision": "[0-9a-f]{64}"', '"commandRevision": "R"'),
        (r'(Us|num)": "\d+"', r'\1": "N"'),
        (r"after [0-9.]+ s", "after S s"),
        (r'"version": "[0-9.]+"', '"version": "V"'),
    ):
        text = re.sub(pattern, instead, text)
    return text.strip()


def expect(checkout: Checkout, steps: Sequence[tuple[str, str]]) -> None:
    """See to it that commands, typed one after the other, print what is said."""
    commands = [command.replace(":50051", f":{checkout.port}") for command, _ in steps]
    for (command, expected), got in zip(steps, typed(checkout, commands), strict=True):
        assert f"$ {command}{plain(got, checkout)}" == f"$ {command}{plain(expected, checkout)}"


def test_the_host_says_what_the_guide_says(checkout: Checkout) -> None:
    [said] = [printed for command, printed in session(HERE) if command.startswith("trunnion up")]
    assert plain(checkout.said, checkout).startswith(plain(said, checkout))


def test_everything_that_is_typed_does_what_is_printed(checkout: Checkout) -> None:
    """Programs in Python and Node, buf, over the socket and over the port, in one session."""
    require("npm", "Node, 20 or newer")
    steps = [(line, printed) for line, printed in session(HERE) if not line.startswith(("source", "trunnion up"))]
    assert len(steps) > 10
    expect(checkout, steps)


def test_the_protocol_is_written_where_it_is_wanted(checkout: Checkout, tmp_path: Path) -> None:
    """Also where an older one is."""
    path = tmp_path / "proto/trunnion/v1/runtime.proto"
    for _ in range(2):
        assert checkout.run("trunnion", "rpc", "proto", tmp_path / "proto").stdout == f"{path}\n"
        assert path.read_bytes() == (ROOT / "plugins/rpc/proto/trunnion/v1/runtime.proto").read_bytes()
        path.write_text("old")
    refused = checkout.run("trunnion", "rpc", "proto", "/proc/nothing")
    assert (refused.returncode, refused.stderr) == (6, "error: cannot write /proc/nothing: No such file or directory\n")


@pytest.fixture
def bare(checkout: Checkout) -> Iterator[Checkout]:
    """The same one without its host and certificates; it is as it was afterwards."""
    checkout.stop()
    if not (checkout.place / "node/node_modules").exists():
        install(checkout.place / "node")
    config = checkout.place / "trunnion.toml"
    before = config.read_text(encoding="utf-8")
    yield checkout
    checkout.stop()
    config.write_text(before, encoding="utf-8")
    checkout.start()


def test_with_the_certificates_that_are_made_everything_goes_by_tls(bare: Checkout) -> None:
    first, *steps = session(ELSEWHERE)
    expect(bare, [first])
    [table] = re.findall(r"```toml\n(.*?)```", ELSEWHERE, re.DOTALL)
    with (bare.place / "trunnion.toml").open("a", encoding="utf-8") as config:
        config.write(f"\n{table}")
    bare.start()
    assert len(steps) > 5
    expect(bare, steps)
    where = f"https://localhost:{bare.port}/trunnion.v1.RuntimeService/GetHost"
    nobody = bare.run(*BUF, "--cacert", "certs/ca.pem", "--schema", "../../plugins/rpc/proto", where)
    assert (nobody.returncode != 0, "principal" in nobody.stdout) == (True, False)


WRAPPED = """
import asyncio
from trunnion import Invocation
from trunnion_rpc.client import Client

async def main():
{block}

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("page", "last"), [("README.md", "watered the basil\n succeeded\n"), ("plugins/rpc/README.md", "'litres': 2.0}\n")]
)
def test_what_the_readme_shows_of_python_works(checkout: Checkout, page: str, last: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    [block] = [each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Client.connect" in each]
    block = re.sub(r"unix:\S+run/rpc.sock", "unix:data/run/rpc.sock", block)
    done = checkout.run("python", "-c", WRAPPED.format(block=textwrap.indent(block, "    ")))
    assert done.stdout.endswith(last), done.stderr


class Plant:
    """The command that the guide brings a file for."""

    @hookimpl
    def trunnion_commands(self, settings: object) -> list[Command]:
        async def load(ctx: Context, plan: Path) -> None:
            await ctx.artifact("report.txt", b"read: " + plan.read_bytes())

        return [Command.of(load, console="plant", expose=frozenset({"rpc"}))]


@pytest.mark.anyio
async def test_files_go_there_and_back_as_the_guide_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = [each for each in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "plan.csv" in each]
    names: dict[str, object] = {"Path": Path, "Invocation": Invocation}
    exec(f"async def shown(host):\n{textwrap.indent(block, '    ')}", names)
    monkeypatch.chdir(tmp_path)
    Path("plan.csv").write_bytes(b"1,2")
    async with opened(tmp_path, plugins={"plant": Plant()}) as host, host.client() as client:
        await names["shown"](client)
        [run] = (await client.list_runs()).items
        [kept] = (await client.query("runs.artifacts", {"run_id": run.id}))["items"]
        assert Path(kept["id"]).read_bytes() == b"read: 1,2"


# -- reflection, from outside ------------------------------------------------------------------------------------------


def test_reflection_lists_every_method_to_the_owner(checkout: Checkout) -> None:
    done = checkout.run(*BUF, "--unix-socket", "data/run/rpc.sock", "--list-methods", "http://localhost")
    listed = set(done.stdout.split())
    declared = re.findall(r"^  rpc (\w+)", (ROOT / "plugins/rpc/proto/trunnion/v1/runtime.proto").read_text(), re.M)
    assert {f"trunnion.v1.RuntimeService/{name}" for name in declared} < listed
    assert "grpc.health.v1.Health/Check" in listed


def test_reflection_says_nothing_to_who_shows_nothing(checkout: Checkout) -> None:
    where = f"http://127.0.0.1:{checkout.port}"
    nobody = checkout.run(*BUF, "--http2-prior-knowledge", "--list-methods", where)
    assert (nobody.returncode != 0, "RuntimeService" in nobody.stdout) == (True, False)
    token = checkout.token("bea", "greenhouse.*")
    shown = ("-H", f"authorization: Bearer {token}", "--reflect-header", "*")
    known = checkout.run(*BUF, "--http2-prior-knowledge", *shown, "--list-methods", where)
    assert "trunnion.v1.RuntimeService/Invoke" in known.stdout.split()


def test_with_the_protocol_at_hand_nothing_has_to_be_listed(checkout: Checkout) -> None:
    where = f"http://127.0.0.1:{checkout.port}/trunnion.v1.RuntimeService/GetHost"
    refused = checkout.run(*BUF, "--schema", "../../plugins/rpc/proto", where)
    assert refused.returncode == 16 << 3  # as buf tells a status
    assert '"message": "say who you are, once: authorization: Bearer TOKEN"' in refused.stderr
