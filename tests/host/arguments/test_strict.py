"""The loader for untrusted JSON; what it refuses is in tests/faults/test_hostile_json.py."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion.arguments.strict import MAX_VALUES, loads
from trunnion.model.errors import InvalidArguments


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("[" * 100 + "]" * 100, None),
        ('{"a:b":"c,d","e":{"a:b":[]}}', {"a:b": "c,d", "e": {"a:b": []}}),
        ('"\\ud83d\\ude00"', "😀"),
        ("9223372036854775808", 2**63),
        ("1.50", 1.5),
    ],
)
def test_good_documents_load(text: str, value: object) -> None:
    loaded = loads(text)
    assert text.startswith("[[") or loaded == value


def test_limits_can_be_set() -> None:
    assert loads("[[1]]", max_depth=2) == [[1]]
    with pytest.raises(InvalidArguments, match="deeper than 1 levels"):
        loads("[[1]]", max_depth=1)
    with pytest.raises(InvalidArguments, match="larger than 4 bytes"):
        loads("[[1]]", max_bytes=4)
    with pytest.raises(InvalidArguments, match="larger than 4 bytes"):
        loads('"ééé"', max_bytes=4)


def test_number_of_values_is_limited_exactly() -> None:
    assert len(loads("[" + ",".join(["1"] * MAX_VALUES) + "]")) == MAX_VALUES
    with pytest.raises(InvalidArguments, match="values"):
        loads("[" + ",".join(["1"] * (MAX_VALUES + 1)) + "]")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_agrees_with_the_standard_library_on_good_documents(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert loads(text) == json.loads(text)


@given(st.dictionaries(st.text(max_size=8), st.integers(), min_size=1), st.data())
def test_any_doubled_key_is_found(members: dict[str, int], data: st.DataObject) -> None:
    doubled = data.draw(st.sampled_from(sorted(members)))
    pairs = [f"{json.dumps(key)}:{value}" for key, value in members.items()]
    text = "[{" + ",".join([*pairs, f"{json.dumps(doubled)}:0"]) + "}]"
    with pytest.raises(InvalidArguments, match="twice"):
        loads(text)


@given(st.binary(max_size=60))
def test_any_bytes_load_or_are_refused(data: bytes) -> None:
    try:
        value = loads(data)
    except InvalidArguments:
        return
    assert value == json.loads(data)
