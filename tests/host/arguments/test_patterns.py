"""How much text a pattern is matched against, and what is said of more."""

from __future__ import annotations

from typing import Any

import pytest

from trunnion.arguments import compile_parameters
from trunnion.model.errors import InvalidArguments


def handler(args: dict[str, object]) -> dict[str, object]:
    return args


def of(schema: object) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}}


def test_text_that_is_too_long_for_its_pattern_is_refused_with_what_to_do() -> None:
    by_pattern = compile_parameters(handler, of({"type": "string", "pattern": "^.{1,1000}$"}))
    by_length = compile_parameters(handler, of({"type": "string", "minLength": 1, "maxLength": 1000, "pattern": r"\S"}))
    with pytest.raises(InvalidArguments, match=r"x: it holds 1000 characters.*by maxLength and not by \{m,n\}"):
        by_pattern.bind({"x": "a" * 1000})
    assert by_length.bind({"x": "a" * 1000}).args == {"x": "a" * 1000}
    with pytest.raises(InvalidArguments, match="at most 1000"):
        by_length.bind({"x": "a" * 1001})
