"""The one command line parser, its help and its completion."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trunnion.arguments import ArgvShape, Completion, Parameters, Secret, compile_parameters, join_line, split_line
from trunnion.arguments.completion import FromQuery
from trunnion.model.errors import InvalidArguments


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(msgspec.Struct):
    x: int
    label: str = ""


def send(
    host: str,
    port: int = 80,
    *files: Path,
    colour: Colour = Colour.RED,
    verbose: bool = False,
    dry_run: bool | None = None,
    tags: list[str] = ["default"],  # noqa: B006
    numbers: list[int] | None = None,
    labels: dict[str, int] = {},  # noqa: B006
    point: Point | None = None,
    wait: datetime.timedelta | None = None,
    either: int | str = 0,
    anything: object = None,
    ratio: float = 0.5,
    maybe: str | None = "x",
    token: Annotated[str, Secret()] = "",
) -> None:
    """Send files.

    Args:
        host: where to go
        files: what to send
        verbose: say more
    """


SEND = compile_parameters(send, complete={"host": "hosts.list"})


def refusal(parameters: Parameters, argv: list[str]) -> str:
    with pytest.raises(InvalidArguments) as caught:
        parameters.parse(argv)
    assert caught.value.details["problems"]
    return caught.value.message


def of(schema: object, **more: object) -> Parameters:
    return compile_parameters(lambda args: args, {"properties": {"x": schema}, **more})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plc", {"host": "plc"}),
        ("plc 81 a b", {"host": "plc", "port": 81, "files": ["a", "b"]}),
        ("--host=plc 81", {"host": "plc", "port": 81}),
        ("--port 81 plc a", {"host": "plc", "port": 81, "files": ["a"]}),
        ("plc -5", {"host": "plc", "port": -5}),
        ("plc -- 81 --verbose", {"host": "plc", "port": 81, "files": ["--verbose"]}),
        ("-- -x", {"host": "-x"}),
        ("--host -- --verbose", {"host": "--", "verbose": True}),
        ("plc --verbose", {"host": "plc", "verbose": True}),
        ("plc --no-verbose", {"host": "plc", "verbose": False}),
        ("plc --verbose=false --no-dry-run=no", {"host": "plc", "verbose": False, "dry_run": True}),
        ("plc --tags a --tags=b", {"host": "plc", "tags": ["a", "b"]}),
        ("plc --tags '[]'", {"host": "plc", "tags": []}),
        ("plc 80 '[1]'", {"host": "plc", "port": 80, "files": ["[1]"]}),
        ("plc 80 --point null", {"host": "plc", "port": 80, "point": None}),
        ("plc --tags '[x'", {"host": "plc", "tags": ["[x"]}),
        ("plc --numbers 1 --numbers 2", {"host": "plc", "numbers": [1, 2]}),
        ("plc --labels a=1 --labels b=-2", {"host": "plc", "labels": {"a": 1, "b": -2}}),
        ("""plc --labels '{"a": 1}'""", {"host": "plc", "labels": {"a": 1}}),
        ("plc --point x=1 --point label=5", {"host": "plc", "point": {"x": 1, "label": "5"}}),
        ("plc --wait 1h30m", {"host": "plc", "wait": "PT5400S"}),
        ("plc --wait PT1H", {"host": "plc", "wait": "PT1H"}),
        ("plc --either 5", {"host": "plc", "either": 5}),
        ("plc --either five", {"host": "plc", "either": "five"}),
        ("""plc --either '"5"'""", {"host": "plc", "either": "5"}),
        ("""plc --either '"\\u0000"'""", {"host": "plc", "either": "\0"}),
        ("plc --anything '[1, null]'", {"host": "plc", "anything": [1, None]}),
        ("plc --anything word", {"host": "plc", "anything": "word"}),
        ("plc --ratio 1e-3", {"host": "plc", "ratio": 0.001}),
        ("plc --maybe null", {"host": "plc", "maybe": "null"}),
        ("plc --numbers null", {"host": "plc", "numbers": None}),
        ("plc --verbose --wait -5s", {"host": "plc", "verbose": True, "wait": "-PT5S"}),
        ("''", {"host": ""}),
    ],
)
def test_words_become_arguments(line: str, expected: dict[str, Any]) -> None:
    assert SEND.parse(split_line(line)) == expected
    if "port" not in expected or expected["port"] > 0:
        SEND.bind(expected)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("plc --verbos", "no option --verbos; did you mean --verbose"),
        ("plc -x", "no option -x"),
        ("plc -xyz=3", "no option -xyz"),
        ("plc --port", "requires an argument"),
        ("plc --verbose=maybe", "verbose: expected true or false"),
        ("plc --port 1 --port 2", "given 2 times"),
    ],
)
def test_what_is_no_command_line_is_refused_in_plain_words(line: str, words: str) -> None:
    assert words in refusal(SEND, split_line(line))


@pytest.mark.parametrize("word", ["1", "0", "on", "no"])
def test_a_word_is_true_or_false_only_where_that_is_a_choice(word: str) -> None:
    def handler(mode: Literal["list", "show"]) -> None: ...

    assert compile_parameters(handler).parse([word]) == {"mode": word}
    either = of({"enum": ["list", True, False]}, required=["x"])
    assert either.parse([f"--x={word}"]) == {"x": word in ("1", "on")}


def test_too_many_words_are_refused() -> None:
    parameters = of({"type": "string"}, required=["x"])
    assert "2 words too many; it takes x by position" in refusal(parameters, ["a", "b", "c"])
    assert "one word too many; it takes no words by position" in refusal(parameters, ["a", "--x=b"])
    assert "takes no words by position" in refusal(of({}), ["a"])


def test_a_word_that_is_not_unicode_is_refused() -> None:
    assert "not valid Unicode" in refusal(SEND, ["\udcff"])


def test_wrong_values_are_told_by_validation_with_the_word_given() -> None:
    with pytest.raises(InvalidArguments, match='port: expected a whole number, got "eighty"'):
        SEND.bind(SEND.parse(["plc", "eighty"]))
    with pytest.raises(InvalidArguments) as caught:
        of({"type": "integer", "writeOnly": True}).bind(
            of({"type": "integer", "writeOnly": True}).parse(["--x=canary"])
        )
    assert "canary" not in str(caught.value.info)


def test_an_option_value_may_look_like_an_option_but_a_word_may_not() -> None:
    assert SEND.parse(["--host", "--verbose"]) == {"host": "--verbose"}
    assert SEND.parse(["--maybe=--verbose=true", "h"]) == {"maybe": "--verbose=true", "host": "h"}
    assert "no option --output" in refusal(SEND, ["--output=/etc/passwd"])


def test_names_no_shell_would_like() -> None:
    schema = {"properties": {"two words": {}, "under_score": {"type": "integer"}, "a=b": {}, "Ünï": {}}}
    parameters = compile_parameters(lambda args: args, schema)
    assert parameters.parse(["--two-words=1", "--under-score", "2", "--a-b", "3", "--Ünï=4"]) == {
        "two words": 1,
        "under_score": 2,
        "a=b": 3,
        "Ünï": 4,
    }


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [
        (SEND, ArgvShape(1, None, True, SEND.argv.positional)),
        (of({}), ArgvShape(0, 0, False)),
        (of({"type": "string"}, required=["x"]), ArgvShape(1, 1, False, ("x",))),
        (of({"type": "array"}, required=["x"]), ArgvShape(1, None, True, ("x",))),
    ],
)
def test_shape_for_meta(parameters: Parameters, shape: ArgvShape) -> None:
    assert parameters.argv == shape


def test_the_shape_names_positional_arguments_in_their_order() -> None:
    schema = {"properties": {"folder": {}, "archive": {}}, "required": ["folder", "archive"]}
    assert compile_parameters(lambda args: args, schema).argv.positional == ("folder", "archive")


def test_positional_can_be_said() -> None:
    schema = {"properties": {"a": {}, "b": {}, "c": {}}, "required": ["c", "a"]}
    assert compile_parameters(lambda args: args, schema).parse(["1", "2"]) == {"a": 1, "c": 2}
    chosen = compile_parameters(lambda args: args, schema, ("c", "b"))
    assert chosen.parse(["1", "2", "--a=3"]) == {"c": 1, "b": 2, "a": 3}
    assert chosen.argv == ArgvShape(1, 2, False, ("c", "b"))


def test_usage_for_a_person() -> None:
    text = SEND.usage("net.send")
    assert text.startswith("Usage: net.send HOST [PORT] [FILES...] [OPTIONS]")
    for part in (
        "where to go",
        "--verbose / --no-verbose",
        "say more",
        '"red", "blue"',
        "[secret]",
        "default: 80",
        "[required]",
    ):
        assert part in text.replace('"blue", "red"', '"red", "blue"'), part


# -- completion ------------------------------------------------------------------------------------------


def offered(words: list[str], incomplete: str) -> list[str]:
    return [proposal.value for proposal in SEND.complete(words, incomplete)]


def test_completion() -> None:
    assert SEND.complete([], "p") == [FromQuery("hosts.list", "where to go", "query")]
    assert offered(["plc"], "") == []
    assert SEND.complete(["plc", "80"], "/et") == [Completion("/et", "what to send", "path")]
    assert SEND.complete(["plc", "80", "a", "b"], "c")[0].kind == "path"
    assert offered([], "--verb") == ["--verbose"]
    assert offered([], "--no-") == ["--no-verbose", "--no-dry-run"]
    assert offered(["--colour"], "") == ["blue", "red"]
    assert offered([], "--colour=r") == ["--colour=red"]
    assert "--colour" not in offered(["--colour", "red"], "--c")
    assert "--tags" in offered(["--tags", "a"], "--t")
    assert SEND.complete([], "--host=") == [FromQuery("hosts.list", "where to go", "query", before="--host=")]
    assert offered(["--"], "--verb") == ["hosts.list"]
    assert offered([], "--nothing=") == []


def test_completion_never_goes_past_the_last_argument() -> None:
    def handler(mode: Literal["a", "b"], on: bool, *, flag: bool = False) -> None: ...

    parameters = compile_parameters(handler)
    assert [p.value for p in parameters.complete([], "")] == ["a", "b"]
    assert [p.value for p in parameters.complete(["a"], "t")] == ["true"]
    assert parameters.complete(["a", "true"], "") == []
    assert parameters.complete(["a", "true", "more"], "") == []
    assert [p.value for p in parameters.complete(["--mode=a"], "f")] == ["false"]
    assert [p.value for p in parameters.complete(["a", "true"], "--fl")] == ["--flag"]


@given(st.lists(st.text(max_size=5) | st.sampled_from(["--", "--tags", "--colour=", "plc"])), st.text(max_size=5))
def test_completion_never_raises(words: list[str], incomplete: str) -> None:
    for proposal in SEND.complete(words, incomplete):
        assert proposal.kind in ("value", "flag", "path", "query")


# -- the same call by args, argv and line -----------------------------------------------------------------

text = st.text(alphabet=st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["-", "--", "-1", "[1]", "{}", "null", "a=b", ""]
)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
calls = st.fixed_dictionaries(
    {"host": text},
    optional={
        "port": st.integers(-(2**53) + 1, 2**53 - 1),
        "files": st.lists(text, max_size=4),
        "colour": st.sampled_from(["red", "blue"]),
        "verbose": st.booleans(),
        "dry_run": st.booleans(),
        "tags": st.lists(text, max_size=4),
        "numbers": st.none() | st.lists(st.integers(-1000, 1000), max_size=3),
        "labels": st.dictionaries(text, st.integers(-1000, 1000), max_size=3),
        "point": st.fixed_dictionaries({"x": st.integers(-9, 9)}, optional={"label": text}),
        "wait": st.sampled_from(["PT1S", "P1DT0.5S", "-PT3M"]),
        "either": st.integers(-9, 9) | text,
        "anything": st.lists(plain, max_size=3) | st.dictionaries(text, plain, max_size=3) | plain,
        "ratio": st.floats(allow_nan=False, allow_infinity=False),
        "maybe": text,
        "token": text,
    },
)

WORD = {"host", "files", "tags", "colour", "wait", "maybe", "token"}
"""Arguments that are plain text on a command line; the others are written as JSON here."""


def options_of(args: Mapping[str, Any]) -> list[str]:
    """Spell arguments as ``--name=value``."""
    words: list[str] = []
    for name, value in args.items():
        if isinstance(value, list) and name in WORD:
            words += [f"--{name}={json.dumps(value)}"]
        else:
            words.append(f"--{name.replace('_', '-')}={value if name in WORD else json.dumps(value)}")
    return words


def positional_of(args: Mapping[str, Any]) -> list[str]:
    """Spell the first two by position and repeat the list's option, where there is no doubt."""
    rest = {name: value for name, value in args.items() if name not in ("host", "port", "files", "tags")}
    tags = args.get("tags", [])
    spelled = [word for tag in tags for word in ("--tags", tag)] if len(tags) > 1 else options_of({"tags": tags})
    words = [args["host"], *([str(args["port"]), *args.get("files", [])] if "port" in args else [])]
    files = (
        options_of({"files": args["files"]})
        if "files" in args and ("port" not in args or len(args["files"]) < 2)
        else []
    )
    if files:
        words = words[: 2 if "port" in args else 1]
    return [*options_of(rest), *(spelled if "tags" in args else []), *files, "--", *words]


@settings(max_examples=200, deadline=None)
@given(calls, st.randoms(use_true_random=False))
@example({"host": "--", "tags": ["[1]"], "files": ["-x"]}, None)
def test_the_same_call_by_args_argv_and_line_binds_equal(args: dict[str, Any], random: Any) -> None:
    expected = SEND.bind(args)
    words = options_of(args)
    if random is not None:
        random.shuffle(words)
    for argv in (words, positional_of(args), split_line(join_line(words))):
        assert SEND.bind(SEND.parse(argv)) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(text | st.sampled_from(["--tags", "--labels", "--point=1", "--no-verbose", "--numbers=[", "x=y"])))
def test_any_words_are_parsed_or_refused(words: list[str]) -> None:
    try:
        args = SEND.parse(words)
        SEND.bind(args)
    except InvalidArguments as error:
        msgspec.json.encode(error.info)
