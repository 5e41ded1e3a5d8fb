"""From a typed signature to schema, values and the call."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from stopwatch import stopwatch

from trunnion.arguments import Bound, Secret, compile_parameters
from trunnion.model.errors import InvalidArguments


class Context:
    """Stands for the run's context."""


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 2


class Node(msgspec.Struct):
    name: str
    children: list[Node] = []


class Login(msgspec.Struct):
    user: str
    password: Annotated[str, Secret()]


class Hidden(msgspec.Struct):
    word: Annotated[str, msgspec.Meta(pattern="^(a+)+$")]


Port = Annotated[int, msgspec.Meta(ge=1, le=65535, description="TCP port")]
Name = Annotated[str, msgspec.Meta(pattern="^([a-z]+)+$", min_length=2)]


def everything(
    ctx: Context,
    host: str,
    port: Port = 80,
    *files: Path,
    colour: Colour = Colour.RED,
    mode: Literal["fast", 1] = "fast",
    verbose: bool = False,
    when: datetime.datetime | None = None,
    wait: datetime.timedelta = datetime.timedelta(seconds=1.5),
    tags: list[str] = ["a"],  # noqa: B006
    labels: dict[str, int] = {},  # noqa: B006
    point: Point = Point(1),  # noqa: B008
    name: Name = "ab",
    note: Annotated[str, "a plain note"] = "",
    folder: Path = Path("/tmp"),
    ratio: float = 0.5,
    either: int | str = 1,
    anything: object = None,
) -> dict[str, object]:
    """Take one of everything.

    Args:
        ctx: never an argument.
        host: where to go,
            said on two lines
        ratio (float): of one thing to another
        *files: what to send

    Returns:
        note: this is no parameter.
    """
    return dict(locals())


PARAMETERS = compile_parameters(everything, context_types=(Context,))


def property_of(name: str) -> dict[str, Any]:
    return PARAMETERS.schema["properties"][name]


def problems(parameters: Any, args: Any) -> list[dict[str, str]]:
    with pytest.raises(InvalidArguments) as caught:
        parameters.bind(args)
    return caught.value.details["problems"]


def test_schema_for_meta() -> None:
    schema = PARAMETERS.schema
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["host"], False)
    assert property_of("host") == {"type": "string", "description": "where to go, said on two lines"}
    assert property_of("port") == {
        "type": "integer",
        "minimum": 1,
        "maximum": 65535,
        "description": "TCP port",
        "default": 80,
    }
    assert property_of("files") == {
        "type": "array",
        "items": {"type": "string", "format": "path"},
        "description": "what to send",
        "default": [],
    }
    assert property_of("wait") == {"type": "string", "format": "duration", "default": "PT1.5S"}
    assert property_of("when")["anyOf"][0] == {"type": "string", "format": "date-time"}
    assert property_of("name")["pattern"] == "^([a-z]+)+$"
    assert property_of("note")["description"] == "a plain note"
    assert property_of("ratio")["description"] == "of one thing to another"
    assert property_of("point")["default"] == {"x": 1, "y": 2}
    assert "ctx" not in schema["properties"]


def test_values_are_python_objects_and_args_are_json() -> None:
    bound = PARAMETERS.bind(
        {
            "host": "plc",
            "files": ["/a"],
            "colour": "blue",
            "when": "2026-01-31T12:00:00Z",
            "wait": "PT1H30M",
            "point": {"x": 4},
            "mode": 1,
            "ratio": 2,
        }
    )
    assert bound.args["wait"] == "PT1H30M" and bound.args["port"] == 80 and bound.args["tags"] == ["a"]
    values = bound.values
    assert values["files"] == [Path("/a")] and values["colour"] is Colour.BLUE and values["point"] == Point(4)
    assert values["when"] == datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
    assert values["wait"] == datetime.timedelta(minutes=90) and values["folder"] == Path("/tmp")
    msgspec.json.encode(bound.args)


def test_the_call_gets_context_words_spread_and_options() -> None:
    context = Context()
    bound = PARAMETERS.bind({"host": "h", "files": ["a", "b"], "verbose": True})
    got = PARAMETERS.call(everything, context, bound)
    assert isinstance(got, dict)
    assert got["ctx"] is context and got["host"] == "h" and got["verbose"] is True
    assert got["files"] == (Path("a"), Path("b"))


def test_defaults_are_json_as_it_is_on_record() -> None:
    """Defence: ``_with_lists``. A run that was told of with () was read back with []."""

    def handler(sizes: tuple[int, ...] = (), pair: tuple[int, tuple[str, ...]] = (1, ("a",))) -> None: ...

    args = compile_parameters(handler).bind({}).args
    assert repr(args) == repr({"sizes": [], "pair": [1, ["a"]]})


def test_mutable_defaults_are_fresh_for_each_call() -> None:
    first = PARAMETERS.bind({"host": "h"})
    first.args["tags"].append("spoiled")
    first.values["tags"].append("spoiled")
    second = PARAMETERS.bind({"host": "h"})
    assert second.args["tags"] == ["a"] and second.values["tags"] == ["a"]


@pytest.mark.parametrize(
    ("args", "path", "words"),
    [
        ({}, "host", "required"),
        ({"host": 1}, "host", "expected text, got 1"),
        ({"host": "h", "port": 0}, "port", "1 or more"),
        ({"host": "h", "port": True}, "port", "expected a whole number"),
        ({"host": "h", "port": "80"}, "port", 'got "80"'),
        ({"host": "h", "port": 2**70}, "port", "65535 or less"),
        ({"host": "h", "verbose": 1}, "verbose", "true or false"),
        ({"host": "h", "when": "2026-01-31T12:00:00"}, "when", "with its offset"),
        ({"host": "h", "wait": "90"}, "wait", "a length of time"),
        ({"host": "h", "labels": {"a": "b"}}, "labels.a", "a whole number"),
        ({"host": "h", "tags": ["a", 3]}, "tags[1]", "expected text, got 3"),
        ({"host": "h", "point": {"y": 1}}, "point", 'the member "x" is missing'),
        ({"host": "h", "point": {"x": 1, "z": 1}}, "point", 'no member "z"'),
        ({"host": "h", "name": "A"}, "name", "text that matches"),
        ({"host": "h", "colour": "green"}, "colour", 'one of "blue", "red"'),
        ({"host": "h", "mode": True}, "mode", "one of"),
        ({"host": "h", "ratio": float("nan")}, "ratio", "a number"),
        ({"host": Path("x")}, "host", "not a JSON value"),
        ({"hots": "h"}, "hots", "did you mean host?"),
        ({"host": "h", "ctx": 1}, "ctx", "no such argument"),
        ({"host": "h", "wait": "P1Y"}, "wait", ""),
    ],
)
def test_a_refusal_names_the_argument_and_what_was_expected(args: Any, path: str, words: str) -> None:
    found = problems(PARAMETERS, args)
    assert path in [problem["path"] for problem in found]
    assert any(words in problem["message"] for problem in found if problem["path"] == path), found


def test_all_problems_are_told_at_once() -> None:
    assert {p["path"] for p in problems(PARAMETERS, {"port": 0, "verbos": 1, "ratio": "x"})} == {
        "host",
        "port",
        "verbos",
        "ratio",
    }


def test_a_refusal_can_always_be_encoded() -> None:
    with pytest.raises(InvalidArguments) as caught:
        PARAMETERS.bind({"host": "h", "\ud800": 1})
    msgspec.json.encode(caught.value.info)


def test_whole_floats_are_integers_and_others_are_not() -> None:
    bound = PARAMETERS.bind({"host": "h", "port": 5.0})
    assert type(bound.args["port"]) is int and bound.values["port"] == 5
    assert problems(PARAMETERS, {"host": "h", "port": 5.5})[0]["path"] == "port"


def test_int64_travels_as_text_and_other_integers_stay_exact() -> None:
    def handler(big: Annotated[int, msgspec.Meta(extra_json_schema={"format": "int64"})], small: int = 0) -> None: ...

    parameters = compile_parameters(handler)
    for given in (2**53 + 1, str(2**53 + 1), -(2**63), str(2**63 - 1)):
        bound = parameters.bind({"big": given})
        assert bound.values["big"] == int(given) and bound.args["big"] == str(given)
    assert parameters.bind({"big": "7"}).args["big"] == 7
    for bad in (2**63, str(2**63), "9" * 30, "0x1", "1.0", ""):
        assert problems(parameters, {"big": bad})[0]["path"] == "big"
    assert problems(parameters, {"big": 1, "small": 2**53})[0]["path"] == "small"


def test_secrets_are_marked_and_never_quoted() -> None:
    def handler(token: Annotated[int, Secret(), msgspec.Meta(ge=10)], login: Login, plain: str = "") -> None: ...

    parameters = compile_parameters(handler)
    assert parameters.secret == {"token", "login"}
    assert parameters.schema["properties"]["token"]["writeOnly"] is True
    canary = "hunter2canary"
    good = {"token": 11, "login": {"user": "u", "password": canary}}
    assert parameters.bind(good).args == {**good, "plain": ""}
    for args in (
        {**good, "token": canary},
        {**good, "login": canary},
        {**good, "login": {"user": "u", "password": [canary]}},
        {**good, "login": {"user": "u", "password": "p", canary: 1}},
        {**good, "login": {canary: canary}},
    ):
        with pytest.raises(InvalidArguments) as caught:
            parameters.bind(args)
        assert canary not in str(caught.value.info) and "hunter" not in str(caught.value.info)


def test_a_secret_a_type_of_ones_own_rejects_is_not_quoted() -> None:
    class Key(msgspec.Struct):
        text: str

        def __post_init__(self) -> None:
            raise ValueError(f"bad key {self.text}")

    def handler(key: Annotated[Key, Secret()], other: Key | None = None) -> None: ...

    handler.__annotations__ = {"key": Annotated[Key, Secret()], "other": Key | None}
    parameters = compile_parameters(handler)
    with pytest.raises(InvalidArguments) as caught:
        parameters.bind({"key": {"text": "canary"}})
    assert "canary" not in str(caught.value.info)


@pytest.mark.alone
def test_a_pattern_never_reaches_the_backtracking_engine() -> None:
    def handler(x: Annotated[str, msgspec.Meta(pattern="^(a+)+$|^a+!$")], y: list[Name] | None = None) -> None: ...

    parameters = compile_parameters(handler)
    with stopwatch() as cost:
        assert parameters.bind({"x": "a" * 25 + "!", "y": ["ab"]}).values["y"] == ["ab"]
    assert cost.seconds < 0.5
    assert [p["path"] for p in problems(parameters, {"x": "b", "y": ["A"]})] == ["x", "y"]


def test_recursive_types() -> None:
    def handler(tree: Node) -> Node:
        return tree

    parameters = compile_parameters(handler)
    bound = parameters.bind({"tree": {"name": "a", "children": [{"name": "b"}]}})
    assert parameters.call(handler, None, bound) == Node("a", [Node("b")])
    assert problems(parameters, {"tree": {"name": "a", "children": [{"name": 3}]}})[0]["path"] == "tree"


# -- the context and other shapes of handlers -------------------------------------------------------------


class Device:
    def __init__(self) -> None:
        self.written: list[int] = []

    def write(self, value: int, /, *, times: int = 1) -> list[int]:
        """Write.

        Args:
            value: what to write
        """
        self.written += [value] * times
        return self.written


def test_methods_partials_and_positional_only() -> None:
    device = Device()
    parameters = compile_parameters(device.write)
    assert parameters.call(device.write, object(), parameters.bind({"value": 3, "times": 2})) == [3, 3]
    partial = functools.partial(everything, Context())
    assert compile_parameters(partial).bind({"host": "h"}).args["port"] == 80


@pytest.mark.parametrize("first", ["ctx", "caller"])
def test_reserved_names_are_the_context_whatever_their_annotation(first: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def handler({first}: 'NotImported', n: int): return ({first}, n)", namespace)
    handler = namespace["handler"]
    parameters = compile_parameters(handler)
    assert parameters.call(handler, "the context", Bound({}, {"n": 1})) == ("the context", 1)


def test_a_context_only_imported_for_type_checking() -> None:
    namespace: dict[str, Any] = {}
    exec("def handler(c: 'kernel.Context', n: int): return (c, n)", namespace)
    parameters = compile_parameters(namespace["handler"], context_types=(Context,))
    assert list(parameters.schema["properties"]) == ["n"]


def test_no_arguments() -> None:
    def handler() -> int:
        return 7

    parameters = compile_parameters(handler)
    assert parameters.call(handler, object(), parameters.bind({})) == 7
    assert "there are none" in problems(parameters, {"x": 1})[0]["message"]


# -- signatures that cannot be used -----------------------------------------------------------------------


def untyped(x): ...
def unresolved(x: Nowhere): ...  # noqa: F821
def any_name(**x: int): ...
def odd_type(x: Context): ...
def none_default(x: int = None): ...  # noqa: RUF013
def wrong_default(x: Port = 0): ...
def no_json_default(x: object = object()): ...
def secret_default(x: Annotated[str, Secret()] = "hunter2"): ...
def look_around(x: Annotated[str, msgspec.Meta(pattern="(?=a)b")]): ...
def backreference(x: Annotated[str, msgspec.Meta(pattern=r"(a)\1")]): ...
def hidden_pattern(x: list[Hidden]): ...
def twice(x: int, *, x_: int): ...
def negation(x: bool, *, no_x: int): ...


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (untyped, "no type annotation"),
        (unresolved, "cannot be evaluated"),
        (any_name, "bring a schema"),
        (odd_type, "cannot be used as an argument"),
        (none_default, "default does not fit: expected a whole number"),
        (wrong_default, "default does not fit"),
        (no_json_default, "no JSON form"),
        (secret_default, "may not have a default"),
        (look_around, "linear time"),
        (backreference, "linear time"),
        (hidden_pattern, "exponential"),
        (twice, "would both be --x"),
        (negation, "would both be --no-x"),
    ],
)
def test_an_unusable_signature_is_refused_by_function_and_parameter(handler: Any, reason: str) -> None:
    with pytest.raises(InvalidArguments, match=reason) as caught:
        compile_parameters(handler)
    assert handler.__name__ in caught.value.message and "x" in caught.value.message
    assert "hunter2" not in caught.value.message


def test_names_of_positional_and_complete_must_exist() -> None:
    for options in ({"positional": ("nope",)}, {"complete": {"nope": "q"}}):
        with pytest.raises(InvalidArguments, match="no argument 'nope'"):
            compile_parameters(Device().write, **options)
