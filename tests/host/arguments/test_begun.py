"""A command line that is still being typed: only what nothing puts right is wrong with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trunnion.arguments import Parameters, compile_parameters, split_line
from trunnion.model.errors import InvalidArguments

Small = Annotated[int, msgspec.Meta(ge=0, le=9)]


class Point(msgspec.Struct):
    x: int
    y: int


def move(
    mode: Literal["a", "b"],
    speed: Small,
    *rest: Small,
    loud: bool = False,
    tags: Annotated[list[Literal["p", "q"]], msgspec.Meta(min_length=2)] = ["p", "q"],  # noqa: B006
    point: Point | None = None,
    word: Annotated[str, msgspec.Meta(min_length=2)] = "ab",
) -> None:
    """Take one of each."""


def pair(mode: Literal["a", "b"], speed: Small, *, loud: bool = False) -> None:
    """Take no more than two words."""


MOVE, PAIR = compile_parameters(move), compile_parameters(pair)
PAIRED = compile_parameters(
    lambda args: args,
    {
        "properties": {"x": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}, "n": {}},
        "required": ["x"],
        "if": {"properties": {"n": {"const": 1}}},
        "then": {"required": ["n"], "properties": {"x": {"maxItems": 1}}},
    },
)


def taken(first: str, *rest: str) -> None:
    """Take texts."""


def between(points: list[Small], word: str = "") -> None:
    """Take a list as one word, since another one follows."""


BETWEEN = compile_parameters(between)
TAKEN = compile_parameters(taken)


def refused(parameters: Parameters, line: str, **more: Any) -> str:
    error = parameters.begun(split_line(line), **more).refused
    return "" if error is None else error.message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--speed 99", "speed: expected a whole number, 0 or more, 9 or less, got 99"),
        ("a 99", "speed: "),
        ("--mode a 99", "speed: "),
        ("x 5", "mode: "),
        ("a 5 1", "one word too many"),
        ("--word=a", "no option --word"),
        ("--speed 1 --speed 2", "given 2 times"),
        ("--loud=perhaps", "loud: expected true or false"),
        ("-- a -5", "speed: "),
    ],
)
def test_what_stays_wrong_is_told(line: str, words: str) -> None:
    assert words in refused(PAIR, line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a 5 10", "rest[0]: "),
        ("x 5", "mode: "),
        ("a 5 1 --tags p --tags x", "tags[1]: "),
        ("--word=a", "word: expected text"),
        ("--rest 1 --rest 10", "rest[1]: "),
    ],
)
def test_what_stays_wrong_of_lists_and_others(line: str, words: str) -> None:
    assert words in refused(MOVE, line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "5",  # --mode may follow
        "a",
        "--speed",
        "a --speed",
        "--",
        "-- 5",
        "a 5 --tags x",  # one word alone may be a list as JSON
        "a 5 --tags p",
        "--tags p",  # two are needed, the second may follow
        "--point x=1",  # and so may y
        "--point={",
    ],
)
def test_what_may_be_put_right_is_not(line: str) -> None:
    assert refused(MOVE, line) == ""


def test_what_is_settled() -> None:
    assert PAIR.begun(["a"]).given == {}
    assert PAIR.begun(["a", "5"]).given == {"mode": "a", "speed": 5}
    assert PAIR.begun(["--mode", "a", "5", "--loud"]).given == {"mode": "a", "speed": 5, "loud": True}
    assert MOVE.begun(["a", "5", "--speed", "3", "--tags", "p"]).given == {"speed": 3}
    assert TAKEN.begun(["a", "b"]).given == {}


def test_a_list_by_position_that_is_not_the_last_is_one_word() -> None:
    assert refused(BETWEEN, "[1,2] text") == ""
    assert refused(BETWEEN, "[1,20] text").startswith("points[1]: ")
    assert refused(BETWEEN, "[1,20]") == ""  # with --points it is the text


def test_what_is_judged_elsewhere_is_not_judged_here() -> None:
    assert refused(PAIR, "a 99", apart={"speed"}) == ""
    assert refused(PAIR, "x 99", apart={"speed"}).startswith("mode: ")


def test_rules_over_several_arguments_wait_for_the_whole() -> None:
    assert refused(PAIRED, "5 text --n") == ""
    assert refused(PAIRED, "5 text --n=1") == ""
    with pytest.raises(InvalidArguments):
        PAIRED.bind(PAIRED.parse(["5", "text", "--n=1"]))


WORDS = st.sampled_from(
    ["a", "b", "x", "5", "9", "10", "-5", "--", "--mode", "--mode=a", "--mode=x", "--speed", "--speed=3", "--loud",
     "--no-loud", "--loud=yes", "--tags", "--tags=p", "--tags=q", "p", "q", '--tags=["p","q"]', "--point",
     "--point=x=1",
     "--point=y=2", '--point={"x":1,"y":2}', "x=1", "--word", "--word=ab", "--rest=1", "--rest=[1,2]", "[1,2]", "[1]",
     "--first=a", "--points=[1]", "--n=1", "--n", "text", "--x=5", "{}", "null"]
)  # fmt: skip


@settings(max_examples=400)
@given(st.sampled_from([MOVE, PAIR, PAIRED, TAKEN, BETWEEN]), st.lists(WORDS, max_size=7))
@example(PAIR, ["5", "--mode=a"])
@example(BETWEEN, ["[1,2]", "text"])
@example(MOVE, ["a", "5", "--point=x=1", "--point=y=2"])
@example(MOVE, ["--mode=a", "--speed=3", "1", "--tags=p", "--tags=q"])
def test_no_beginning_of_a_good_line_is_wrong(parameters: Parameters, words: list[str]) -> None:
    try:
        args = parameters.parse(words)
        parameters.bind(args)
    except InvalidArguments:
        for end in range(len(words) + 1):
            parameters.begun(words[:end])
        return
    for end in range(len(words) + 1):
        begun = parameters.begun(words[:end])
        assert begun.refused is None, words[:end]
        assert begun.given.items() <= args.items()


@given(st.lists(st.text(max_size=4) | WORDS, max_size=5))
def test_any_words_can_be_looked_at(words: list[str]) -> None:
    for parameters in (MOVE, PAIR, PAIRED):
        error = parameters.begun(words).refused
        if error is not None:
            msgspec.json.encode(error.info)
