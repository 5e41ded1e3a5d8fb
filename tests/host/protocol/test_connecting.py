"""Who reaches a host by the scheme of its URL: found among what is installed, and named where that cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from trunnion.model.errors import BrokenPlugin, InvalidArguments, TrunnionError, Unavailable
from trunnion.protocol.clients import GROUP, Destination
from trunnion.protocol.connecting import client_for


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs distributions, and nothing else is installed."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    def install(name: str, entry_points: str, module: str = "") -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n\n")
        (info / "entry_points.txt").write_text(entry_points)
        if module:
            (tmp_path / f"{name}.py").write_text(module)

    yield install
    for name in [name for name in sys.modules if name.startswith("way_")]:
        del sys.modules[name]


def wanted(url: str) -> TrunnionError:
    with pytest.raises(TrunnionError) as error:
        client_for(Destination(url=url), patience=1)
    return error.value


@pytest.mark.parametrize("scheme", ["grpc", "grpcs", "unix"])
def test_what_is_not_installed_is_named_by_its_extra(installed, scheme: str) -> None:
    error = wanted(f"{scheme}://x:1")
    assert isinstance(error, Unavailable)
    assert error.message == f"nothing that is installed reaches a host by {scheme}: pip install 'trunnion[rpc]'"


def test_what_nobody_knows_is_named_beside_what_is_known(installed) -> None:
    assert wanted("http://x").message == "'http' is no way to reach a host"
    installed("way_a", f"[{GROUP}]\nzig = way_a:go\nzag = way_a:go\n")
    error = wanted("http://x")
    assert isinstance(error, InvalidArguments)
    assert error.message == "'http' is no way to reach a host; there are zag, zig"


def test_only_what_is_asked_for_is_imported(installed) -> None:
    """Defence: entry points are looked through without loading any."""
    installed(
        "way_a", f"[{GROUP}]\nzig = way_a:go\n", "def go(to, *, patience, door):\n    return (to, patience, door)\n"
    )
    installed("way_b", f"[{GROUP}]\nzag = way_b:go\n", "raise SystemExit('imported')")
    to = Destination(url="zig://x", token="secret")
    assert client_for(to, patience=2, door="tty") == (to, 2, "tty")
    assert "way_b" not in sys.modules


def test_two_that_know_one_scheme_are_both_refused(installed) -> None:
    for name in ("way_b", "way_a"):
        installed(name, f"[{GROUP}]\nzig = {name}:go\n", "raise SystemExit('imported')")
    error = wanted("zig://x")
    assert isinstance(error, BrokenPlugin)
    assert error.message == "way_a and way_b both say how zig is reached: remove one"


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("raise ValueError('no')", "way_a 1.0, by which zig is reached, cannot be loaded: ValueError: no"),
        ("import nothing_like_that", "No module named 'nothing_like_that'"),
        ("went = 1", "has no attribute 'go'"),
        ("go = 1", "way_a 1.0: way_a:go, by which zig is reached, cannot be called"),
    ],
)
def test_what_cannot_be_used_is_named(installed, module: str, told: str) -> None:
    installed("way_a", f"[{GROUP}]\nzig = way_a:go\n", module)
    error = wanted("zig://x")
    assert isinstance(error, BrokenPlugin)
    assert told in error.message


def test_another_generation_is_named(installed) -> None:
    installed("way_a", "[trunnion.connectors.v9]\nzig = way_a:go\n", "raise SystemExit('imported')")
    error = wanted("zig://x")
    assert isinstance(error, Unavailable)
    assert (
        "way_a 1.0 reaches zig by trunnion.connectors.v9, this program speaks trunnion.connectors.v1" in error.message
    )


def test_a_token_is_in_no_text_of_a_destination() -> None:
    """Defence: ``Destination.__repr__``: it may end up in a traceback or a log."""
    to = Destination(url="grpcs://plant:1", token="tr_secret")
    assert "tr_secret" not in f"{to} {to!r} {[to]}"
    assert (to.scheme, to.place) == ("grpcs", "plant:1")
    assert Destination(url="unix:/a/b").place == "/a/b"
