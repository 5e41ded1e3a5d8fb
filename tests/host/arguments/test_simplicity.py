"""A validator is compiled at the first call only where compiling it cannot fail; mistakes show at registration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunnion.arguments import compile_parameters
from trunnion.arguments.binding import Binder
from trunnion.arguments.hints import Secret
from trunnion.arguments.signature import plan_of_signature
from trunnion.arguments.simplicity import is_simple
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json


class Colour(Enum):
    """A choice."""

    RED = "red"


def odd(**extra: Json) -> object:
    return Annotated[str, msgspec.Meta(extra_json_schema=dict(extra))]


HINTS = [
    *(str, int, bool, float, str | None, int | str | None, bool | float, list[str], dict[str, int], Colour),
    *(Literal["a", "b"], bytes, Annotated[str, Secret()], Annotated[str | None, Secret(), "a word"]),
    *(Annotated[int, msgspec.Meta(ge=1)], Annotated[str, msgspec.Meta(min_length=2, description="a word")]),
    *(odd(description=5), odd(title=5), odd(writeOnly="yes"), odd(minimum="low"), odd(type="wrong"), odd(pattern="(")),
]
DEFAULTS = st.sampled_from([None, "", "a", 0, 1, 2**53, -(2**60), True, 1.5, 2.0, [], ["a"], Colour.RED, {}, b"x"])


def handler(hint: object, default: object = inspect.Parameter.empty) -> object:
    """A function of one argument of a type, as somebody could have written it."""

    def function(**_: object) -> None:
        """Take it."""

    parameter = inspect.Parameter("value", inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)
    function.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    return function


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(HINTS), DEFAULTS | st.just(inspect.Parameter.empty))
def test_what_counts_as_simple_certainly_compiles(hint: object, default: object) -> None:
    """Defence: ``_fits`` and ``_kinds``; without them a mistake would be found at the first call only."""
    try:
        plan = plan_of_signature(handler(hint, default), None, (), ())  # type: ignore[arg-type]
    except InvalidArguments:
        return
    if is_simple(plan):
        Binder(plan, recursive=False)


@pytest.mark.parametrize(
    ("hint", "default"),
    [
        (int, "a"),
        (int, 2**53),
        (str, None),
        (bool, 1),
        (Annotated[str, Secret()], "hunter2"),
        (Annotated[int, msgspec.Meta(ge=1)], 0),
        (list[str], [1]),
        (odd(minimum="low"), "a"),
        (odd(description=5), "a"),
        (odd(pattern="("), "a"),
    ],
)
def test_a_mistake_in_a_declaration_is_found_at_registration(hint: object, default: object) -> None:
    with pytest.raises(InvalidArguments):
        compile_parameters(handler(hint, default))  # type: ignore[arg-type]


def test_a_schema_somebody_wrote_is_compiled_at_registration() -> None:
    def take(args: Mapping[str, Json]) -> None:
        """Take it."""

    made = compile_parameters(take, {"properties": {"a": {"type": "string"}}})
    assert "_binder" in vars(made)
    with pytest.raises(InvalidArguments, match="default does not fit"):
        compile_parameters(take, {"properties": {"a": {"type": "string", "default": 1}}})


def test_a_simple_signature_is_compiled_at_its_first_call() -> None:
    def take(host: str, port: int = 502, note: str | None = None) -> None:
        """Take it."""

    made = compile_parameters(take)
    assert "_binder" not in vars(made)
    assert made.bind({"host": "a"}).values == {"host": "a", "port": 502, "note": None}
    with pytest.raises(InvalidArguments, match="port"):
        made.bind({"host": "a", "port": "b"})
