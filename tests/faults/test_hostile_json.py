"""M1, M6: JSON that is too deep, too large, ambiguous or none, put in wherever the host takes JSON; long integers."""

from __future__ import annotations

import contextlib
import json
import socket
import tarfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from faults_kit import Ground, Up
from hostile_json import CORPUS, MIB
from stopwatch import least
from streams_kit import launched, resident

from trunnion.arguments import strict
from trunnion.config.load import InvalidConfig
from trunnion.config.toml_file import read_toml
from trunnion.kernel.document_value import encoded
from trunnion.model.errors import InvalidArguments
from trunnion.model.runs import Invocation
from trunnion.store.backup.manifest import FIRST, LAST, first_content
from trunnion.store.backup.reading import verify

DOCUMENTS = {name: text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
             for name, (text, _) in CORPUS.items()}  # fmt: skip
SMALL = [name for name, document in DOCUMENTS.items() if len(document) < 60_000 and b"\0" not in document]
CAP = 4 * MIB
"""The largest message the socket takes."""


@pytest.fixture
def served(ground: Ground) -> Ground:
    ground.only = "streams,scripts"
    with ground.config.open("a") as file:
        for output in ("json", "ndjson"):
            file.write(f"""
[scripts.{output}]
run = ["/bin/cat", "{{path}}"]
output = "{output}"
lock = ""
pass_env = ["FAULTS_TAG"]
args.path = {{ type = "string", required = true }}
""")
    return ground


# -- the loader -------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("name", CORPUS)
def test_m1_each_document_is_one_named_error(name: str, figure: Callable[..., None]) -> None:
    document, reason = CORPUS[name]

    def refused() -> InvalidArguments:
        with pytest.raises(InvalidArguments, match=reason) as caught:
            strict.loads(document)
        return caught.value

    assert refused().details["problems"]
    took = least(refused)
    figure("time to refuse it", round(1000 * took, 1), "ms")
    assert took < 0.3  # 0.1 s is the figure; a slow machine under coverage takes longer for the same


@pytest.mark.parametrize("name", ["many empty arrays", "only quotes", "1 M keys", "deep arrays"])
def test_m1_memory_stays_within_twice_the_cap(name: str, figure: Callable[..., None]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArguments):
            strict.loads(DOCUMENTS[name])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    figure("memory at most", peak >> 20, "MiB")
    assert peak <= 2 * 16 * MIB


# -- every entry ------------------------------------------------------------------------------------


def answer(ground: Ground, message: bytes) -> dict[str, object]:
    """What the host says to one message; it may hang up before it has taken all of it."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(ground.socket))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(message + b"\n")
        with line.makefile("rb") as reader:
            found: dict[str, object] = json.loads(reader.readline())
    return found


def framed(document: bytes) -> Iterator[bytes]:
    """A document as the whole message, as the parameters, as arguments, and as one argument."""
    yield document
    yield b'{"type":"rpc","id":7,"method":"command.run","params":%b}' % document
    yield b'{"type":"rpc","id":7,"method":"command.run","params":{"command_id":"streams.nap","args":%b}}' % document
    yield b'{"type":"rpc","id":7,"method":"query","params":{"query_id":"runs.list","args":{"status":%b}}}' % document


def unharmed(ground: Ground, host: Up) -> None:
    """The host works, and nothing was a defect to it."""
    good = Invocation(command_id="streams.nap", args={"turns": 1})
    assert ground.talk(lambda client: client.run(good)).result == 1
    assert host.stop() == 0
    assert "Traceback" not in host.said() + (ground.data / "logs" / "host.jsonl").read_text()


def ask_all(ground: Ground) -> tuple[int, float]:
    """Put every document to the socket in every way; how many there were, and the seconds of the slowest answer."""
    asked, slowest = 0, 0.0
    for name, document in DOCUMENTS.items():
        for message in framed(document):
            if not message or b"\n" in message:
                continue
            began = time.monotonic()
            said = answer(ground, message)
            slowest = max(slowest, time.monotonic() - began)
            asked += 1
            assert (said["type"], said["code"]) == ("rpc_error", "invalid_arguments"), (name, message[:80], said)
    return asked, slowest


def test_m1_over_the_socket(served: Ground, figure: Callable[..., None]) -> None:
    """What stays of them would stay each time anew: the lesser of two more times is not what memory does by chance."""
    host = served.up()
    memory = [resident(host)]
    for _ in range(3):
        asked, slowest = ask_all(served)
        memory.append(resident(host))
    first, *later = (after - before for before, after in pairwise(memory))
    again = min(later)
    figure("messages", asked)
    figure("slowest answer", round(1000 * slowest), "ms")
    figure("memory more after all of them once", first >> 20, "MiB")
    figure("memory more after all of them again", max(again, 0) >> 20, "MiB")
    assert first < 20 * CAP
    assert again < 4 * CAP
    unharmed(served, host)


def test_m1_from_a_command_line(served: Ground, figure: Callable[..., None]) -> None:
    host = served.up()
    names = ("deep arrays", "5,000 digits", "NaN", "1e999", "duplicate", "lone low surrogate")
    for name in names:
        text = DOCUMENTS[name][:100_000].decode()
        for words in (("run", "streams.nap", f"--turns={text}"), ("query", "runs.list", f"--status={text}")):
            done = launched(served, *words)
            assert done.returncode == 2, (name, done)
            assert "Traceback" not in done.stderr
    figure("command lines", 2 * len(names))
    unharmed(served, host)


def test_m1_from_a_program(served: Ground, figure: Callable[..., None]) -> None:
    """A script's output is judged like any document: its run fails by name, or has the line as text."""
    host = served.up()
    place = served.root / "document"
    before = resident(host)
    for name, document in DOCUMENTS.items():
        place.write_bytes(document)
        for script in ("scripts.json", "scripts.ndjson"):
            asked = Invocation(command_id=script, args={"path": str(place)})
            run = served.talk(lambda client: client.run(asked))  # noqa: B023 - used at once
            assert run.ended
            if script == "scripts.json" and name != "empty":
                assert run.status == "failed", name
                assert run.error is not None
                assert run.error.code != "internal", (name, run.error)
    figure("documents", 2 * len(DOCUMENTS))
    figure("memory more afterwards", max(resident(host) - before, 0) >> 20, "MiB")
    unharmed(served, host)


def archive(place: Path, manifest: bytes) -> Path:
    """A backup whose list of files is what is given."""
    with tarfile.open(place, "w:gz") as made:
        for name, content in ((FIRST, first_content()), (LAST, manifest)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, BytesIO(content))
    return place


@pytest.mark.parametrize("name", CORPUS)
def test_m1_as_the_list_of_a_backup(name: str, tmp_path: Path) -> None:
    for manifest in (DOCUMENTS[name], b'{"format":1,"files":%b}' % DOCUMENTS[name]):
        with pytest.raises(InvalidArguments, match="cannot be restored"):
            verify(archive(tmp_path / "b.tar.gz", manifest))


def deep(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [deep(101), deep(5_000), CYCLE, 10**128, float("nan"), float("-inf"), "\ud800", {"\udfff": 1}, {1: 2}, {1, 2}, b"x",
     object(), [1] * 100_001],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_m1_as_a_document_of_a_plugin(value: object) -> None:
    with pytest.raises(InvalidArguments):
        encoded("key", value, MIB)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a = " + "[" * 100_000, "nests deeper"), ("a = " + "[" * 5_000 + "]" * 5_000, "nests deeper"),
     ("a = " + "{b=" * 2_000, "nests deeper"), ("[" + ".".join("a" * 5_000) + "]", "nests deeper"),
     ("a = " + "1" * 5_000, "64 bits"), (f"a = {2**63}", "64 bits"), ('a = "\\ud800"', "Unicode"),
     ("a = 1\na = 2", "overwrite"),
     ("\ufeffa = 1", "1:1"), ("a = 1 2", "1:7"), ("\0", "1:1")],
    ids=lambda value: value[:12],
)  # fmt: skip
def test_m1_as_configuration(tmp_path: Path, text: str, reason: str) -> None:
    place = tmp_path / "trunnion.toml"
    place.write_text(text)
    with pytest.raises(InvalidConfig, match=reason):
        read_toml(place)


def test_m1_without_the_fault_documents_at_the_limits_are_taken() -> None:
    assert strict.loads("[" * 100 + "]" * 100)
    assert strict.loads(b"[" + b",".join([b"1"] * 99_000) + b"]")
    assert strict.loads(b'"' + b"a" * (16 * MIB - 2) + b'"')


def test_m1_without_the_defence_a_lenient_loader_takes_them() -> None:
    """What the standard loader makes of the corpus: it takes some, and falls over others in ways of their own."""
    taken, ways = [], set()
    for name in CORPUS:
        if len(DOCUMENTS[name]) > MIB:
            continue
        try:
            json.loads(DOCUMENTS[name])
            taken.append(name)
        except (ValueError, RecursionError) as error:
            ways.add(type(error).__name__)
    assert {"NaN", "1e999", "duplicate", "lone low surrogate"} <= set(taken)
    assert {"RecursionError", "UnicodeDecodeError"} <= ways


# -- M6 ---------------------------------------------------------------------------------------------

LONG = [2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64 + 1, 10**127 + 1]


def test_m6_integers_survive_the_round_trip(served: Ground, figure: Callable[..., None]) -> None:
    """In by socket, command line and program; out by result, history, JSON of the launcher, and the export."""
    host = served.up()
    place = served.root / "document"
    for number in LONG:
        place.write_text(json.dumps({"n": number}))
        run = served.talk(lambda client: client.run(Invocation(command_id="scripts.json", args={"path": str(place)})))
        assert run.result["output"] == {"n": number}  # type: ignore[index, call-overload]
        shown = json.loads(launched(served, "runs", "show", run.id, "--json").stdout)
        assert shown["result"]["output"] == {"n": number}
        said = answer(served, b'{"type":"rpc","id":%d,"method":"whoami"}' % number)
        assert said["id"] == number
        if not -(2**63) <= number < 2**63:
            continue
        by_words = launched(served, "run", "--json", "streams.said", f"--value={number}")
        assert by_words.returncode == 0, by_words
        assert json.loads(by_words.stdout.splitlines()[-1])["result"] == number
    figure("integers", len(LONG))
    assert host.stop() == 0
