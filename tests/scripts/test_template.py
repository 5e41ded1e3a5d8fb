"""Words: what becomes an argument of a program, and what must not."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion import InvalidArguments
from trunnion_scripts.template import parse, text_of, words


def made(*run, options=(), **values):
    return words([parse(word) for word in run], values, options)


@pytest.mark.parametrize(
    ("run", "values", "expected"),
    [
        (["p", "--db={db}"], {"db": "x y"}, ["p", "--db=x y"]),
        (["p", "--db={db}"], {}, ["p"]),
        (["p", "--db={db}"], {"db": None}, ["p"]),
        (["p", "{a}", "{b}"], {"a": "1", "b": ""}, ["p", "1", ""]),
        (["p", "{a}-{b}"], {"a": "1", "b": "2"}, ["p", "1-2"]),
        (["p", "{a}-{b}"], {"a": "1"}, ["p"]),
        (["p", "{*t}"], {"t": ["a", "b c"]}, ["p", "a", "b c"]),
        (["p", "{*t}"], {"t": []}, ["p"]),
        (["p", "--t={*t}"], {"t": ["a", "b"]}, ["p", "--t=a", "--t=b"]),
        (["p", "{h?-h}", "{h}"], {"h": "host"}, ["p", "-h", "host"]),
        (["p", "{h?-h}", "{h}"], {}, ["p"]),
        (["p", "{v?--verbose}"], {"v": True}, ["p", "--verbose"]),
        (["p", "{v?--verbose}"], {"v": False}, ["p"]),
        (["p", "{n}", "{f}", "{b}"], {"n": 3, "f": 1.5, "b": True}, ["p", "3", "1.5", "true"]),
        (["p", "{o}"], {"o": {"k": [1, None]}}, ["p", '{"k":[1,null]}']),
        (["p", "{{x}}", "a}}"], {}, ["p", "{x}", "a}"]),
    ],
)
def test_words(run, values, expected):
    assert made(*run, **values) == expected


@pytest.mark.parametrize("text", ["{", "}", "{}", "{a", "a}", "{1a}", "{a b}", "{*}", "{*a?b}", "{*a}{*b}", "{a?{b}}"])
def test_what_is_no_placeholder_is_refused(text):
    with pytest.raises(ValueError, match=r"placeholder|lists|mixes"):
        parse(text)


@pytest.mark.parametrize("value", ["-o", "--output=/etc/passwd", "-", "--"])
def test_a_value_cannot_become_an_option(value):
    with pytest.raises(InvalidArguments, match="option") as caught:
        made("p", "{x}", x=value)
    assert caught.value.details["problems"][0]["path"] == "x"
    with pytest.raises(InvalidArguments):
        made("p", "{*x}", x=["ok", value])
    with pytest.raises(InvalidArguments):
        made("p", "{e}{x}", e="", x=value)


def test_a_number_cannot_become_an_option_either():
    with pytest.raises(InvalidArguments):
        made("kill", "{n}", n=-9)


def test_where_a_leading_dash_is_harmless_or_declared():
    assert made("p", "--", "{x}", x="-o") == ["p", "--", "-o"]
    assert made("p", "--db={x}", x="-o") == ["p", "--db=-o"]
    assert made("p", "{x}", options={"x"}, x="-o") == ["p", "-o"]
    assert made("p", "{x?-o}", x=True) == ["p", "-o"]


def test_a_value_cannot_make_the_double_dash_that_would_free_the_next():
    with pytest.raises(InvalidArguments):
        made("p", "{x}", "{y}", x="--", y="-o")


@given(st.text(alphabet=string.printable, max_size=30))
def test_one_placeholder_is_one_word_whatever_is_in_it(value):
    assert made("p", "--x={x}", "end", x=value) == ["p", f"--x={value}", "end"]


def test_a_text_has_one_line_for_each_item():
    assert text_of(parse("select {*c};"), {"c": ["a", "b"]}) == "select a;\nselect b;"
    assert text_of(parse("{x}"), {}) == ""
