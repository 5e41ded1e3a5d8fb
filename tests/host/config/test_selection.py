"""Selection of plugins, from flags, environment and file."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunnion.config.selection import Selection, select
from trunnion.config.toml_file import TomlFile, read_toml
from trunnion.model.errors import InvalidConfig


def written(tmp_path: Path, text: str) -> TomlFile:
    path = tmp_path / "trunnion.toml"
    path.write_text(text)
    return read_toml(path)


def test_nothing_said_selects_everything() -> None:
    selection = select(environ={})
    assert selection == Selection()
    assert selection.refusal("web") == ""
    assert selection.requested == frozenset()


def test_only_comes_from_the_strongest_source_that_has_it(tmp_path: Path) -> None:
    file = written(tmp_path, "[plugins]\nonly = ['a']\n")
    env = {"TRUNNION_PLUGINS": "b, c,"}
    assert select(environ={}, file=file).only == {"a"}
    assert select(environ=env, file=file).only == {"b", "c"}
    assert select(environ=env, file=file, only=["d"]).only == {"d"}
    assert select(environ={"TRUNNION_PLUGINS": ""}, file=file).only == frozenset()


def test_without_adds_up_but_a_stronger_only_lifts_it(tmp_path: Path) -> None:
    file = written(tmp_path, "[plugins]\nwithout = ['a', 'b']\n")
    selection = select(environ={}, file=file, without=["c"])
    assert selection.without == {"a", "b", "c"}
    assert select(environ={"TRUNNION_PLUGINS": "a"}, file=file).without == {"b"}
    assert select(environ={}, file=file, only=["a"], without=["a"]).requested == frozenset()


def test_folders_of_the_file_are_relative_to_it(tmp_path: Path) -> None:
    file = written(tmp_path, "[plugins]\ndir = ['mine']\n")
    flag = Path("elsewhere")
    assert select(environ={}, file=file, plugin_dirs=[flag]).plugin_dirs == (tmp_path / "mine", flag)


@pytest.mark.parametrize("text", ["[plugins]\nonly = 'a'\n", "[plugins]\nwithout = [1]\n"])
def test_a_wrong_table_is_told_with_file_line_and_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidConfig, match=r"trunnion\.toml:2: plugins\.(only|without)"):
        select(environ={}, file=written(tmp_path, text))
