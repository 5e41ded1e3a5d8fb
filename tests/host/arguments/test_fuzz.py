"""Fuzz: durations, schemas and text against schemas: a value, or a refusal in words."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trunnion.arguments import compile_parameters
from trunnion.arguments.duration import is_duration, to_iso
from trunnion.arguments.patterns import MAX_REGEX_BYTES, compiles, size_of
from trunnion.arguments.text import list_of, object_of, value_of
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import encode

KEYWORDS = st.sampled_from(
    ["type", "properties", "items", "prefixItems", "$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "if", "then",
     "enum", "const", "pattern", "patternProperties", "minimum", "maxLength", "format", "default", "required",
     "writeOnly", "additionalProperties", "$dynamicRef", "$id", "$schema", "dependentSchemas", "propertyNames",
     "contains"]
)  # fmt: skip
WORDS = st.sampled_from(
    ["string", "integer", "number", "object", "array", "null", "int64", "duration", "path", "#", "#/$defs/a",
     "#/properties/x", "^(a+)+$", "(?=a)", "a{1,999}", "[", "x", "", "\0", "http://127.0.0.1:9/"]
)  # fmt: skip
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.none() | st.integers() | st.floats() | WORDS,
    lambda inner: (
        st.dictionaries(KEYWORDS, inner, max_size=4)
        | st.dictionaries(st.sampled_from(["x", "a", "^b+$"]), inner, max_size=2)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def handler(args: dict[str, object]) -> int:
    return len(args)


@settings(deadline=None)
@given(SCHEMAS, st.dictionaries(KEYWORDS, SCHEMAS, max_size=3), JSON, st.lists(st.text(max_size=8), max_size=3))
def test_any_schema_is_refused_or_judges_anything(
    part: Any, more: dict[str, Any], value: Any, words: list[str]
) -> None:
    try:
        parameters = compile_parameters(handler, {"type": "object", "properties": {"x": part}, **more})
    except InvalidArguments as error:
        encode(error.details)
        return
    for args in ({"x": value}, {}, {"y": value}):
        try:
            parameters.bind(args)
        except InvalidArguments as error:
            encode(error.details)
    for given_words in (words, ["--x", *words], [f"--x={word}" for word in words]):
        try:
            parameters.bind(parameters.parse(given_words))
        except InvalidArguments as error:
            encode(error.details)
    parameters.complete(words, "--")
    parameters.usage("t.x")


@settings(deadline=None)
@given(st.text(max_size=30) | st.text("0123456789PTDHMSwdhms.-", max_size=30))
def test_any_text_is_a_duration_or_none(text: str) -> None:
    iso = to_iso(text)
    assert iso is None or is_duration(iso)


@settings(deadline=None)
@given(st.text(max_size=20) | st.text('[]{}(),:"0123456789.eE+-truefalsn ', max_size=20))
def test_any_word_stands_for_something(word: str) -> None:
    for kind in ("string", "integer", "number", "boolean", "array", "object", "null"):
        schema = {"type": kind}
        for found in (
            value_of(schema, schema, word),
            list_of(schema, schema, [word]),
            object_of(schema, schema, [word]),
        ):
            encode(found)


@settings(deadline=None)
@given(st.text(max_size=12) | st.text("ab()[]{}|*+?.^$\\dw,0123456789", max_size=16))
def test_any_pattern_has_a_size_or_is_refused(pattern: str) -> None:
    if compiles(pattern):
        assert 0 < size_of(pattern) <= MAX_REGEX_BYTES
        assert compiles(pattern, size_of(pattern))
