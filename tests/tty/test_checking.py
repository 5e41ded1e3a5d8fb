"""What is said of a line: whole, what the host would say; while it is typed, only what nothing puts right any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from made_kit import VERBS, Made, arguments, commands, many, typed, words
from signed_kit import COMMANDS, QUERIES, pool

from trunnion import InvalidArguments, Invocation, TrunnionError
from trunnion.arguments import join_line
from trunnion.testing import BlockingHarness, Hosting
from trunnion_tty.catalog import Catalog
from trunnion_tty.checking import check
from trunnion_tty.lines import statements
from trunnion_tty.reading import Place, read

LOOSE = settings(suppress_health_check=list(HealthCheck))


def told_while_typing(line: str, place: Place) -> list[tuple[str, str]]:
    """Each beginning of a line that is called wrong, and why."""
    typed = [(line[:end], check(line[:end], place, whole=False)) for end in range(len(line) + 1)]
    return [(beginning, fault) for beginning, fault in typed if fault is not None]


# -- made-up commands -----------------------------------------------------------------------------

NOISE = st.sampled_from(
    ["--", "-5", "5", "x", "''", "--nothing", "n=1", "--n", "--n=1", "--no-n", "host=", "y=null", "&", "[1]",
     "--dry-run", "a-b=1", "'a b'", "c-d={}", "--x=1"]
)  # fmt: skip


@st.composite
def nearly(draw: st.DrawFn, made: Made) -> str:
    """A line that is good, or has some words too many or too few."""
    line = draw(typed(made, draw(words(made, draw(arguments(made))))))
    name, *rest = read(statements(line)[0], made.place).statement.words
    raws = [word.raw for word in rest]
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(raws)))
        if draw(st.booleans()):
            raws.insert(place, draw(NOISE))
        elif place < len(raws):
            del raws[place]
    return " ".join([name.raw, *raws]) if draw(st.booleans()) else line


@settings(LOOSE, max_examples=many(100))
@given(commands(), st.data())
def test_of_made_up_commands(made: Made, data: st.DataObject) -> None:
    (line,) = statements(data.draw(nearly(made))) or ["made.up"]
    fault = check(line, made.place, whole=True)
    try:
        made.compiled.bind(made.compiled.parse(read(line, made.place).argv))
    except InvalidArguments as error:
        assert fault == error.message
    else:
        assert fault is None
        assert told_while_typing(line, made.place) == []


@settings(LOOSE, max_examples=many(40))
@given(commands(secrets=True), st.data())
def test_of_secrets_only_a_place_may_be_typed(made: Made, data: st.DataObject) -> None:
    (line,) = statements(data.draw(nearly(made))) or ["made.up"]
    fault = check(line, made.place, whole=True)
    if fault is None:
        given = made.compiled.parse(read(line, made.place).argv)
        assert all(str(given[name]).startswith(("env:", "file:")) for name in made.secret & given.keys())
        assert told_while_typing(line, made.place) == []


# -- a real host ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host() -> Iterator[BlockingHarness]:
    with Hosting(commands=COMMANDS, queries=QUERIES) as harness:
        yield harness


@pytest.fixture(scope="module")
def place(host: BlockingHarness) -> Place:
    return Place(Catalog(host.meta()), VERBS)


def refusal(host: BlockingHarness, line: str, place: Place) -> str | None:
    """Why the host refuses a line's words; None if it takes them."""
    reading = read(line, place)
    assert reading.entry is not None
    try:
        if reading.entry.kind == "query":
            host.query(reading.entry.id, **bound(host, reading.entry.id, reading.argv))
        else:
            host.ask(Invocation(command_id=reading.entry.id, line=join_line(reading.argv)))
    except TrunnionError as error:
        assert error.code == "invalid_arguments", error
        return error.message
    return None


def bound(host: BlockingHarness, name: str, argv: list[str]) -> dict[str, Any]:
    entry = host.host.kernel.registry.query(name)
    assert entry is not None
    return entry.parameters.parse(argv)


@st.composite
def lines(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(["numbers", "texts", "choices", "times", "shapes", "unlock", "store", "given", "ask"]))
    first = [pool(f"s.{name}")[0]] if draw(st.booleans()) else []
    return " ".join([f"s.{name}", *first, *draw(st.lists(st.sampled_from(pool(f"s.{name}")), max_size=3))])


def test_a_whole_line_is_judged_as_the_host_does(
    host: BlockingHarness, place: Place, rounds: int, figure: Callable[..., None]
) -> None:
    taken = refused = 0

    @settings(LOOSE, max_examples=20 * rounds)
    @given(lines())
    @example("s.given 7 fast")
    @example("s.given 7 fast high=9")
    @example("s.times 2026-01-31T12:00:00Z")
    @example("s.texts first=a word=ABC")
    def every(line: str) -> None:
        nonlocal taken, refused
        (line,) = statements(line)
        fault, reason = check(line, place, whole=True), refusal(host, line, place)
        secrets = read(line, place).entry.secrets  # type: ignore[union-attr]
        if secrets:
            # What is missing is asked for, and what is typed has to be a place; both are other words than the host's.
            assert reason is not None or fault is None or "is secret" in fault
        else:
            assert (fault is None) == (reason is None), (line, fault, reason)
        if fault is None:
            assert told_while_typing(line, place) == []
        taken, refused = taken + (reason is None), refused + (reason is not None)

    every()
    figure("lines taken", taken)
    figure("lines refused", refused)
    assert min(taken, refused) > rounds


def test_habits_of_other_shells_are_met_with_words() -> None:
    place = Place(Catalog({"commands": [*COMMANDS, {"id": "shell.run", "args": {}, "argv": {"names": []}}]}), VERBS)
    assert (
        check("ls -la", place, whole=True) == "there is no command 'ls'; help lists them, !ls is for the system's shell"
    )
    assert "is a line here" in (check("trunnion run x", place, whole=True) or "")
    fault = check("jobs | grep failed", place, whole=True) or ""
    assert fault.endswith("(| is a word like any other here)")
    assert check("alias l 'a | b'", place, whole=True) is None
