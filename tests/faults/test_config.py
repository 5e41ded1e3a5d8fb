"""Row M7: configuration files that cannot be used. Row H8: reloading over and over."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "host" / "config"))

from reload_kit import Reloaded, reloadable, rss

from trunnion.config import trust
from trunnion.config.load import load_config
from trunnion.config.toml_file import read_toml
from trunnion.config.trust import LARGEST, refuse_shown_secret
from trunnion.model.contributions import Setting
from trunnion.model.errors import InvalidConfig, TrunnionError

RELOADS = int(os.environ.get("TRUNNION_FAULT_RELOADS") or 200)
SECRET = {"door": (Setting(key="token", schema={"type": "string", "minLength": 8, "writeOnly": True}),)}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, as none of pytest's is."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def too_large(path: Path) -> None:
    path.touch()
    os.truncate(path, LARGEST + 1)


def open_to_all(path: Path) -> None:
    path.write_text("# nothing\n")
    path.chmod(0o666)


CORPUS: list[tuple[str, Callable[[Path], object], str]] = [
    ("torn", lambda path: path.write_text('[executor]\nmax_running = 3\n[log]\nlevel = "in'), r"t\.toml:4:\d+: "),
    ("torn_header", lambda path: path.write_text("[executor]\nmax_running = 3\n[lo"), r"t\.toml:3:\d+: "),
    ("not_text", lambda path: path.write_bytes(b"[log]\nlevel = '\xff'\n"), r"not UTF-8 text \(byte 15\)"),
    ("directory", lambda path: path.mkdir(), "a regular file, and this is a directory"),
    ("pipe", a_pipe, "a regular file, and this is a pipe"),
    ("device", lambda path: path.symlink_to("/dev/zero"), "a regular file, and this is a device"),
    ("gone", lambda path: None, "cannot be read: No such file"),
    ("loop", lambda path: path.symlink_to(path), "cannot be read: Too many levels"),
    ("too_large", too_large, "16777216 bytes at most"),
    ("open_to_all", open_to_all, r"every user may change it \(mode 0666\).*chmod o-w"),
    ("unknown_key", lambda path: path.write_text("[log]\nlevl = 'info'\n"), r":2: log\.levl: .*did you mean 'level'"),
    ("wrong_type", lambda path: path.write_text("[log]\nlevel = 3\n"), r"t\.toml:2: log\.level: "),
    ("no_table", lambda path: path.write_text("log = 3\n"), r"t\.toml:1: log: expected a table"),
]


@pytest.mark.parametrize(("make", "told"), [entry[1:] for entry in CORPUS], ids=[entry[0] for entry in CORPUS])
def test_m7_a_file_that_cannot_be_used_is_named(tmp_path: Path, make: Callable[[Path], object], told: str) -> None:
    make(tmp_path / "t.toml")
    with pytest.raises(InvalidConfig, match=told) as caught:
        load_config(tmp_path / "t.toml", environ={}, settings={})
    assert str(tmp_path / "t.toml") in str(caught.value)


@pytest.mark.parametrize(("make", "told"), [entry[1:] for entry in CORPUS], ids=[entry[0] for entry in CORPUS])
async def test_m7_at_a_reload_the_old_configuration_stays(
    tmp_path: Path, make: Callable[[Path], object], told: str
) -> None:
    async with reloadable(tmp_path, "[executor]\nmax_pending = 5\n") as on:
        on.file.unlink()
        (tmp_path / "t.toml").unlink(missing_ok=True)
        make(tmp_path / "t.toml")
        if (tmp_path / "t.toml").exists() or (tmp_path / "t.toml").is_symlink():
            on.file.symlink_to(tmp_path / "t.toml")
        with pytest.raises(InvalidConfig):
            await on.host.reload()
        assert on.kernel.limits.max_pending == 5
        assert len(await on.told("config.refused")) == 1


def test_m7_without_the_fault_a_file_in_order_is_taken(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text("[executor]\nmax_running = 3\n[log]\nlevel = 'debug'\n")
    config = load_config(tmp_path / "t.toml", environ={}, settings={})
    assert (config.get("executor.max_running"), config.get("log.level")) == (3, "debug")


def test_m7_without_the_defence_anybodys_file_decides_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.toml").write_text("[log]\nlevel = 'debug'\n")
    (tmp_path / "t.toml").chmod(0o666)
    monkeypatch.setattr(trust, "_refuse", lambda path, mode: None)
    assert load_config(tmp_path / "t.toml", environ={}, settings={}).get("log.level") == "debug"


def test_m7_an_empty_file_is_all_defaults_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "t.toml").touch()
    config = load_config(tmp_path / "t.toml", environ={}, settings={})
    assert config.get("log.level") == "info"


@pytest.mark.parametrize("text", ["", "\n  \n"])
async def test_m7_an_emptied_file_is_taken_for_one_being_written(tmp_path: Path, text: str) -> None:
    """Defence: ``refuse_emptied``."""
    async with reloadable(tmp_path, "[executor]\nmax_pending = 5\n") as on:
        on.file.write_text(text)
        with pytest.raises(InvalidConfig, match="the file is empty, as it is while it is being written"):
            await on.host.reload()
        assert on.kernel.limits.max_pending == 5
        assert (await on.reload("# all defaults\n"))["live"] == ["executor.max_pending"]


def test_m7_its_group_may_change_it(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text("# nothing\n")
    (tmp_path / "t.toml").chmod(0o664)
    assert read_toml(tmp_path / "t.toml").table == {}


@pytest.mark.parametrize(("mode", "refused"), [(0o644, True), (0o604, True), (0o640, False), (0o600, False)])
def test_m7_a_secret_every_user_can_read_is_refused(open_folder: Path, mode: int, refused: bool) -> None:
    file = open_folder / "t.toml"
    file.write_text("[door]\ntoken = 'hunter2-and-more'\n")
    file.chmod(mode)
    if refused:
        with pytest.raises(InvalidConfig, match=r"door.token is a secret.*chmod o-r") as caught:
            load_config(file, environ={}, settings=SECRET)
        assert "hunter2" not in str(caught.value)
    else:
        assert load_config(file, environ={}, settings=SECRET).get("door.token") == "hunter2-and-more"


def test_m7_a_closed_folder_keeps_a_secret_too(open_folder: Path) -> None:
    file = open_folder / "t.toml"
    file.write_text("[door]\ntoken = 'hunter2-and-more'\n")
    file.chmod(0o644)
    open_folder.chmod(0o700)
    refuse_shown_secret(file, "door.token")


def test_m7_a_secret_from_the_environment_makes_the_file_no_secret(open_folder: Path) -> None:
    file = open_folder / "t.toml"
    file.write_text("[log]\nlevel = 'debug'\n")
    file.chmod(0o644)
    environ = {"TRUNNION__DOOR__TOKEN": "hunter2-and-more"}
    assert load_config(file, environ=environ, settings=SECRET).get("door.token") == "hunter2-and-more"


def test_m7_a_bad_secret_in_the_environment_is_named_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"environment variable TRUNNION__DOOR__TOKEN: door.token: ") as caught:
        load_config(None, environ={"TRUNNION__DOOR__TOKEN": "hunter2"}, settings=SECRET)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "overrides", "told"),
    [
        ({"TRUNNION__EXECUTR__MAX_RUNNING": "3"}, (), "did you mean 'executor'"),
        ({"TRUNNION__EXECUTOR__MAX_RUNING": "3"}, (), "did you mean 'max_running'"),
        ({}, ("executr.max_running=3",), "did you mean 'executor'"),
        ({}, ("executor.max_runing=3",), "did you mean 'max_running'"),
        ({}, ("access.principals.ann.rol=admin",), "did you mean 'role'"),
    ],
)
def test_m7_unknown_names_in_variables_and_flags_are_told_with_the_nearest(
    environ: dict[str, str], overrides: tuple[str, ...], told: str
) -> None:
    with pytest.raises(InvalidConfig, match=told) as caught:
        load_config(None, environ=environ, overrides=overrides, settings={})
    assert (list(environ) or [overrides[0].partition("=")[0]])[0] in str(caught.value)


async def test_m7_a_plugin_to_leave_out_must_be_there(tmp_path: Path) -> None:
    """Defence: a mistyped ``--without`` would load what somebody wanted gone."""
    with pytest.raises(TrunnionError, match="'wrds' was to be left out but is not installed; did you mean 'words'"):
        async with reloadable(tmp_path, without=("wrds",)):
            pytest.fail("it started")


async def test_m7_the_file_may_leave_out_what_is_not_installed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with reloadable(tmp_path, "[plugins]\nwithout = ['wrds']\n"):
        assert "plugins.without names 'wrds', which is not installed; did you mean 'words'?" in caplog.text


# -- H8 -------------------------------------------------------------------------------------------


def counts(on: Reloaded) -> dict[str, int]:
    kernel = on.kernel
    return {
        "commands": len(kernel.registry.all_commands()),
        "queries": len(kernel.registry.all_queries()),
        "owners": len(kernel.registry.owners()),
        "registry listeners": len(kernel.registry.listeners),
        "policy listeners": len(kernel.policy.listeners),
        "tasks": len(asyncio.all_tasks()),
        "modules": len(sys.modules),
        "followers": on.host._settings.following,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }


async def test_h8_reloading_over_and_over_leaves_nothing_behind(tmp_path: Path) -> None:
    one = "[words]\nwords = ['one']\n[executor]\nmax_running = 3\n[access.principals.ann]\n"
    two = "[words]\nwords = ['one', 'two']\n[executor]\nmax_running = 4\nlog_level = 3\n"
    other = "[words]\nwords = ['two', 'three']\n[executor]\nmax_running = 5\n[redaction]\nkeys = ['*pin']\n"
    async with reloadable(tmp_path, one) as on:

        async def around() -> None:
            on.write(other)
            await on.host.reload()
            on.write(two)
            with pytest.raises(InvalidConfig):
                await on.host.reload()
            on.write(one)
            await on.host.reload()

        for _ in range(10):
            await around()
        gc.collect()
        before, memory = counts(on), rss()
        for _ in range(RELOADS // 3):
            await around()
        gc.collect()
        grown = rss() - memory
        print(f"{RELOADS // 3 * 3} reloads: RSS + {grown / 1e6:.1f} MB")
        assert counts(on) == before
        assert grown < 20e6
        assert on.commands() == {"words.one"}
