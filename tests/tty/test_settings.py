"""The section ``[tty]``, on its way from the configuration through meta to a shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trunnion_tty.plugin
from trunnion.testing import Hosting
from trunnion_tty.catalog import Catalog
from trunnion_tty.settings import SCHEMAS, Level, ShellSettings, Theme, read_settings

FIELDS = {field.name: field for field in msgspec.structs.fields(ShellSettings)}


def test_the_schemas_say_what_the_shell_takes() -> None:
    assert SCHEMAS.keys() == FIELDS.keys()
    told = msgspec.to_builtins(ShellSettings())
    assert {key: schema["default"] for key, schema in SCHEMAS.items()} == told
    hints = get_type_hints(ShellSettings)
    for key, schema in SCHEMAS.items():
        assert schema["description"], key
        if "enum" in schema:
            assert tuple(schema["enum"]) == get_args(hints[key]), key  # type: ignore[arg-type]
    assert SCHEMAS["theme"]["enum"] == list(get_args(Theme))
    assert SCHEMAS["show_states"]["enum"] == list(get_args(Level))


WISH = {
    "theme": "light",
    "show_states": "off",
    "aliases": {"ll": "jobs --all"},
    "history_lines": 0,
    "background_lines": 7,
    "completion_timeout": 0.25,
    "on_hangup": "cancel",
}


def test_what_is_configured_reaches_the_shell(trunnion_host: Callable[..., Hosting]) -> None:
    with trunnion_host(plugins={"tty": trunnion_tty.plugin}, settings={"tty": WISH}) as host:
        assert msgspec.to_builtins(Catalog(host.meta()).settings) == WISH
    with trunnion_host(plugins={"tty": trunnion_tty.plugin}) as host:
        assert Catalog(host.meta()).settings == ShellSettings()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("theme", "solar"),
        ("history_lines", -1),
        ("aliases", {"A b": "x"}),
        ("background_lines", 0),
        ("completion_timeout", 0),
        ("on_hangup", "stay"),
    ],
)
def test_what_a_shell_could_not_take_is_refused_by_the_host(
    trunnion_host: Callable[..., Hosting], key: str, value: Any
) -> None:
    with (
        pytest.raises(Exception, match=key),
        trunnion_host(plugins={"tty": trunnion_tty.plugin}, settings={"tty": {key: value}}),
    ):
        pass


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(JSON | st.dictionaries(st.sampled_from([*FIELDS, "of_a_later_version"]), JSON))
def test_of_a_host_of_another_version_what_fits_counts(data: Any) -> None:
    found = read_settings(data)
    told = data if isinstance(data, dict) else {}
    for key, field in FIELDS.items():
        value = getattr(found, key)
        try:
            expected = msgspec.convert(told[key], field.type)
        except (KeyError, msgspec.ValidationError):
            expected = getattr(ShellSettings(), key)
        assert value == expected or value != value


def test_one_that_does_not_fit_takes_no_other_with_it() -> None:
    assert read_settings({**WISH, "theme": "solar"}) == ShellSettings(**{**WISH, "theme": "dark"})  # type: ignore[arg-type]
