"""Schemas somebody else wrote, judged at registration; hostile ones are in tests/faults/test_schemas.py."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stopwatch import stopwatch

from trunnion.arguments import compile_parameters
from trunnion.arguments.patterns import options
from trunnion.model.errors import InvalidArguments


def handler(args: dict[str, object]) -> dict[str, object]:
    return args


def of(schema: object, **more: object) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}, **more}


@pytest.mark.alone
def test_the_largest_schema_accepted_is_judged_in_time() -> None:
    compile_parameters(handler, of({}))
    schema = {"type": "object", "properties": {f"p{i}": {"type": "integer", "minimum": 1} for i in range(900)}}
    schema["properties"]["choice"] = {"enum": [f"value {i}" for i in range(10_000)]}
    with stopwatch() as cost:
        parameters = compile_parameters(handler, schema)
    assert cost.seconds < 0.6
    assert parameters.bind({"p7": 1, "choice": "value 9999"}).args == {"p7": 1, "choice": "value 9999"}


@pytest.mark.alone
def test_explaining_a_failure_of_a_recursive_schema_is_not_exponential() -> None:
    twice = {
        "type": "array",
        "anyOf": [{"items": {"$ref": "#/$defs/R"}}, {"items": {"$ref": "#/$defs/R"}, "minItems": 1}],
    }
    parameters = compile_parameters(handler, of({"$ref": "#/$defs/R"}, **{"$defs": {"R": twice}}))
    value: Any = 1
    for _ in range(16):
        value = [value]
    with stopwatch() as cost, pytest.raises(InvalidArguments, match="x: expected a list"):
        parameters.bind({"x": value})
    assert cost.seconds < 0.3


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "array"}, 'must be "object"'),
        ({"properties": 5}, "properties"),
        (of({"type": "nope"}), "properties/x/type"),
        (of({"minimum": "1"}), "properties/x/minimum"),
        (of({}, additionalProperties=True), "nobody declared"),
        (of({}, required=["y"]), "requires 'y'"),
        (of({"type": "integer", "default": "a"}), "x/default.*whole number"),
        (of({"enum": ["a"], "default": "b"}), "x/default"),
        (of({"type": "string", "writeOnly": True, "default": "pw"}), "may not have a default"),
        (of({"pattern": "(?<!a)b"}), r"properties/x/pattern.*\(\?<!a\)b.*linear time"),
        (of({"patternProperties": {"(a)\\1": {}}}), "patternProperties.*linear time"),
    ],
)
def test_an_unusable_schema_is_refused_with_its_place(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArguments, match=reason):
        compile_parameters(handler, schema)


def test_the_handler_gets_one_mapping_and_the_context_if_it_takes_one() -> None:
    def with_context(ctx: object, args: dict[str, object]) -> object:
        return (ctx, args)

    schema = of({"type": "integer"}, required=["x"])
    plain = compile_parameters(handler, schema)
    assert plain.call(handler, "context", plain.bind({"x": 1})) == {"x": 1}
    both = compile_parameters(with_context, schema)
    assert both.call(with_context, "context", both.bind({"x": 1})) == ("context", {"x": 1})


@pytest.mark.parametrize("wrong", [lambda: 1, lambda a, b: 1, lambda a, *, b: 1])
def test_a_handler_that_cannot_take_one_mapping_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArguments, match="as one mapping"):
        compile_parameters(wrong, of({}))


def test_undeclared_arguments_are_refused_without_being_asked_to() -> None:
    parameters = compile_parameters(handler, of({"type": "string"}))
    assert parameters.schema["additionalProperties"] is False
    with pytest.raises(InvalidArguments, match="no such argument"):
        parameters.bind({"x": "a", "ot_username": "root"})


def test_rules_over_several_arguments_together() -> None:
    schema = {"properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}}
    parameters = compile_parameters(handler, schema)
    assert parameters.bind({"a": 1, "b": 2}).args == {"a": 1, "b": 2}
    with pytest.raises(InvalidArguments, match="b"):
        parameters.bind({"a": 1})


def test_secret_parts_make_the_whole_argument_secret() -> None:
    definitions = {"Login": {"type": "object", "properties": {"password": {"type": "string", "writeOnly": True}}}}
    schema = {"properties": {"a": {"items": {"$ref": "#/$defs/Login"}}, "b": {}}, "$defs": definitions}
    assert compile_parameters(handler, schema).secret == {"a"}


def test_file_arguments() -> None:
    path = {"type": "string", "format": "path"}
    schema = {"properties": {"a": path, "b": {"items": path}, "c": {"anyOf": [path, {"type": "null"}]}, "d": {}}}
    assert compile_parameters(handler, schema).files == {"a", "b", "c"}


# -- two judges, one opinion --------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([0.5, 1.0, -2.0])
    | st.sampled_from(["", "a", "ab", "1"])
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from("abc"), v, max_size=3), max_leaves=6
)
types = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
small = st.integers(0, 3)
leaves = (
    st.booleans()
    | st.fixed_dictionaries(
        {},
        optional={"type": types | st.lists(types, min_size=1, max_size=2, unique=True), "minimum": st.integers(-3, 3)},
    )
    | st.fixed_dictionaries({"enum": st.lists(scalars, min_size=1, max_size=3)})
    | st.fixed_dictionaries({"const": values})
    | st.fixed_dictionaries(
        {}, optional={"minLength": small, "maxLength": small, "pattern": st.sampled_from(["^a", "b$", "1"])}
    )
    | st.fixed_dictionaries(
        {}, optional={"minItems": small, "uniqueItems": st.booleans(), "multipleOf": st.sampled_from([1, 2, 0.5])}
    )
)
schemas = st.recursive(
    leaves,
    lambda s: (
        st.fixed_dictionaries({"items": s})
        | st.fixed_dictionaries({"prefixItems": st.lists(s, min_size=1, max_size=2), "items": s})
        | st.fixed_dictionaries({"contains": s})
        | st.fixed_dictionaries({"not": s})
        | st.fixed_dictionaries({"if": s, "then": s, "else": s})
        | st.fixed_dictionaries(
            {"properties": st.dictionaries(st.sampled_from("abc"), s, max_size=2), "additionalProperties": s}
        )
        | st.fixed_dictionaries(
            {
                "patternProperties": st.dictionaries(st.sampled_from(["a", "^b"]), s, max_size=2),
                "required": st.just(["a"]),
            }
        )
        | st.builds(
            lambda k, p: {k: p}, st.sampled_from(["allOf", "anyOf", "oneOf"]), st.lists(s, min_size=1, max_size=3)
        )
        | st.fixed_dictionaries({"allOf": st.lists(s, min_size=1, max_size=1), "unevaluatedProperties": st.booleans()})
    ),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(schemas, st.lists(values, min_size=1, max_size=5))
def test_both_validators_agree(schema: Any, instances: list[Any]) -> None:
    import jsonschema

    slow = jsonschema.Draft202012Validator(schema)
    fast = jsonschema_rs.Draft202012Validator(schema, pattern_options=options(), offline=True)
    for instance in instances:
        assert fast.is_valid(instance) == slow.is_valid(instance), (schema, instance)


@settings(max_examples=150, deadline=None)
@given(schemas, values)
def test_bind_agrees_with_the_judge(schema: Any, value: Any) -> None:
    import jsonschema

    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    parameters = compile_parameters(handler, of(schema))
    try:
        parameters.bind({"x": value})
    except InvalidArguments as error:
        assert not expected and error.details["problems"]
    else:
        assert expected


def test_int64_reaches_a_schema_handler_as_it_travels() -> None:
    parameters = compile_parameters(handler, of({"items": {"type": "integer", "format": "int64"}}))
    published = parameters.schema["properties"]["x"]["items"]
    assert published["type"] == ["integer", "string"]
    bound = parameters.bind({"x": [1, "2", 2**53 + 1, str(-(2**63))]})
    assert bound.args == bound.values == {"x": [1, 2, str(2**53 + 1), str(-(2**63))]}
    jsonschema_rs.Draft202012Validator(parameters.schema).validate(bound.args)


@pytest.mark.parametrize(
    ("schema", "args"),
    [
        (
            of(
                {"$ref": "#/$defs/R"},
                **{"$defs": {"R": {"type": "array", "items": {"$ref": "#/$defs/R"}, "writeOnly": True}}},
            ),
            {"x": ["canary"]},
        ),
        (of({"type": "string", "writeOnly": True}, dependentRequired={"x": ["y"]}), {"x": "canary"}),
        (of({"writeOnly": True, "enum": ["a"]}, oneOf=[{"required": ["x"]}, {}]), {"x": "canary"}),
    ],
)
def test_a_refusal_never_quotes_a_secret(schema: dict[str, Any], args: dict[str, Any]) -> None:
    with pytest.raises(InvalidArguments) as caught:
        compile_parameters(handler, schema).bind(args)
    assert "canary" not in str(caught.value.info)


def test_int64_inside_objects_and_unions() -> None:
    number = {"type": "integer", "format": "int64", "minimum": 0}
    rest = {"anyOf": [number, {"type": "null"}]}
    inner = {"type": "object", "properties": {"a": number}, "additionalProperties": rest}
    parameters = compile_parameters(handler, of(inner))
    bound = parameters.bind({"x": {"a": "3", "b": str(2**60), "c": None}})
    assert bound.args == {"x": {"a": 3, "b": str(2**60), "c": None}}
    for bad in ("-1", str(2**63), "x"):
        with pytest.raises(InvalidArguments, match=r"x\.a"):
            parameters.bind({"x": {"a": bad}})
