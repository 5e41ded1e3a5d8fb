"""Fuzz: a configuration, a value given as text, and the file that names a host are read or refused by name."""

from __future__ import annotations

import tomllib
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trunnion.config.data_dir import DataDir, holder_of
from trunnion.config.layers import parse_text
from trunnion.config.load import InvalidConfig
from trunnion.config.toml_file import locate_keys, parse_toml, plain_table, read_toml
from trunnion.model.json import encode

ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
PIECES = st.sampled_from(
    ["a", "b.c", "[", "]", "[[", "]]", "{", "}", "=", "\n", "\r", ",", '"', "'", '"""', "#", " ", "1", "-", "_", "0x",
     "1e999", "nan", "inf", "true", "2026-01-31", "T07:00:00Z", "\\u00e9", "\\ud800", "\ufeff", "\0", "é",
     "[" * 200, "9" * 30]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=60)


@settings(deadline=None)
@given(TEXTS)
@example("a = " + "[" * 3_000)
@example("a = " + "1" * 5_000)
@example(".".join("a" * 3_000) + " = 1")
def test_any_text_is_toml_or_refused(text: str) -> None:
    try:
        table = parse_toml(text)
    except tomllib.TOMLDecodeError:
        return
    assert isinstance(encode(plain_table(table)), bytes)


@settings(deadline=None)
@given(TEXTS)
@example("# a = 1")
@example(' #a 0c=[, "1')
def test_the_lines_of_keys_are_found_in_any_text(text: str) -> None:
    lines = locate_keys(text)
    assert set(lines.values()) <= set(range(1, text.count("\n") + len(text) + 2))


@ONE_FOLDER
@given(st.binary(max_size=80) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_file_is_a_configuration_or_refused(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "trunnion.toml"
    place.write_bytes(content)
    try:
        read_toml(place)
    except InvalidConfig as error:
        assert str(place) in error.message


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["string", "integer", "number", "boolean", "array", "object"]))
@example("[" * 3_000, "array")
@example("1" * 5_000, "integer")
def test_any_value_given_as_text_is_a_value(text: str, kind: str) -> None:
    value = parse_text(text, {"type": kind})
    assert kind != "string" or value == text


@ONE_FOLDER
@given(st.binary(max_size=60) | st.integers().map(lambda pid: b'{"pid":%d,"start":1}' % pid))
@example(b'{"pid":1,"start":' + b"[" * 5_000)
@example(b'{"pid":"\xff","start":1}')
@example(b'{"x":' + b"[" * 5_000)
@example(b'{"pid":0,"start":0}')
def test_whatever_is_in_a_lock_file_names_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "host.lock").write_bytes(content)
    assert holder_of(DataDir(tmp_path)) is None
