"""Where configuration and data are looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trunnion.config.paths import SYSTEM_DATA, default_data_dir, find_config
from trunnion.model.errors import InvalidConfig


def test_data_lies_where_systemd_says_else_with_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_data_dir({}) == tmp_path / "trunnion"
    assert default_data_dir({"STATE_DIRECTORY": "/var/lib/one:/var/lib/two"}) == Path("/var/lib/one")
    as_service = default_data_dir({"INVOCATION_ID": "0" * 32})
    assert as_service == (SYSTEM_DATA if os.geteuid() == 0 else tmp_path / "trunnion")


def test_the_configuration_is_looked_for_from_near_to_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    here = tmp_path / "here"
    here.mkdir()
    user = tmp_path / "trunnion" / "trunnion.toml"
    user.parent.mkdir()
    user.touch()
    assert find_config({}, here) == user
    (here / "trunnion.toml").touch()
    assert find_config({}, here) == here / "trunnion.toml"
    assert find_config({"TRUNNION_CONFIG": "named.toml"}, here) == Path("named.toml")


def test_a_strangers_file_is_not_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trunnion.toml"
    path.touch()
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(InvalidConfig, match="--config"):
        find_config({}, tmp_path)
