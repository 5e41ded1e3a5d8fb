"""Scripts that come, change and go while the host runs."""

import asyncio
import os
from typing import ClassVar

import pytest

from trunnion import NotFound
from trunnion_scripts.folder import Refused, read_folders
from trunnion_scripts.watcher import _Watcher

CONFIG = '[scripts]\nfolders = ["{folder}"]\npoll_interval = 0.02'


async def until(condition, what):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


@pytest.fixture
def config(folder):
    return CONFIG.format(folder=folder)


async def test_a_script_dropped_appears_runs_changes_and_goes(serve, drop, folder, config):
    async with serve(config) as host:
        assert host.names() == set()
        program = drop(
            "hello", "#!/bin/sh\necho hi $1\n", 'run = ["./hello.sh", "{who}"]\n[args.who]\nrequired = true', ".sh"
        )
        await until(lambda: host.names() == {"scripts.hello"}, "it appeared")
        assert await host.text(await host.run("scripts.hello", who="you")) == "hi you\n"
        (folder / "hello.toml").write_text('title = "Other"')
        await host.until_host_says("scripts.hello changed")
        assert await host.text(await host.run("scripts.hello")) == "hi\n"
        program.unlink()
        await until(lambda: host.names() == set(), "it went with its program")
        with pytest.raises(NotFound):
            await host.submit("scripts.hello")


async def test_it_runs_in_its_own_folder(serve, drop, folder, config):
    drop("where", "#!/bin/sh\npwd\n")
    async with serve(config) as host:
        assert await host.text(await host.run("scripts.where")) == f"{folder}\n"


@pytest.mark.parametrize(
    "broken",
    ["run = [", "run = 5", 'run = ["./hello", "{x}"]', 'nonsense = "x"', '[args.x]\ntype = "strnig"\nenv = "X"'],
)
async def test_a_broken_file_is_reported_and_the_last_good_version_stays(serve, drop, folder, config, broken):
    drop("hello", "#!/bin/sh\necho hi\n")
    async with serve(config) as host:
        (folder / "hello.toml").write_text(broken)
        said = await host.until_host_says("hello.toml")
        assert str(folder / "hello.toml") in said
        assert await host.text(await host.run("scripts.hello")) == "hi\n"
        listed = await host.door.query(host.caller, "scripts.list", {})
        assert [item["name"] for item in listed["items"]] == ["hello"]
        assert listed["problems"][0]["origin"] == str(folder / "hello.toml")
        (folder / "hello.toml").write_text("")
        async with asyncio.timeout(10):
            while (await host.door.query(host.caller, "scripts.list", {}))["problems"]:
                await asyncio.sleep(0.005)


async def test_a_file_still_being_written_is_not_read(drop, folder):
    class Handle:
        settings: ClassVar = {"folders": [str(folder)], "poll_interval": 1}

        async def in_thread(self, function):
            return function()

    watcher = _Watcher(Handle(), asyncio.Event())
    assert not await watcher.look()
    drop("x", "#!/bin/sh\n", "run = [")
    assert not await watcher.look(), "just changed"
    drop("x", "#!/bin/sh\n", "run = ['./x', 'y']")
    assert not await watcher.look(), "changed again"
    assert await watcher.look(), "has come to rest"


async def test_a_broken_file_at_the_start_stops_nothing(serve, drop, config):
    drop("good", "#!/bin/sh\n")
    drop("bad", "#!/bin/sh\n", "run = [")
    async with serve(config) as host:
        assert host.names() == {"scripts.good"}
        await host.until_host_says("bad.toml")


async def test_a_folder_may_come_later(serve, tmp_path):
    late = tmp_path / "late"
    async with serve(CONFIG.format(folder=late)) as host:
        late.mkdir(mode=0o755)
        (late / "x").write_text("#!/bin/sh\n")
        (late / "x").chmod(0o755)
        (late / "x.toml").touch()
        await until(lambda: host.names() == {"scripts.x"}, "it appeared")


async def test_the_configuration_wins_over_a_file_of_the_same_name(serve, drop, config):
    drop("same", "#!/bin/sh\necho file\n")
    async with serve(config + '\n[scripts.same]\nrun = ["echo", "config"]') as host:
        assert await host.text(await host.run("scripts.same")) == "config\n"
        await host.until_host_says("another script 'same'")


async def test_the_list_has_pages(serve, drop, config):
    for name in "abc":
        drop(name, "#!/bin/sh\n")
    async with serve(config) as host:
        first = await host.door.query(host.caller, "scripts.list", {"limit": 2})
        rest = await host.door.query(host.caller, "scripts.list", {"limit": 2, "cursor": first["next"]})
    assert [[item["name"] for item in page["items"]] for page in (first, rest)] == [["a", "b"], ["c"]]
    assert rest["next"] is None


def reason(folder):
    found = [outcome for outcome in read_folders([folder]).values() if isinstance(outcome, Refused)]
    assert len(found) == 1
    return found[0].reason


def test_no_or_two_programs_beside_a_file_are_named(drop, folder):
    (folder / "x.toml").touch()
    file = folder / "x.toml"
    assert reason(folder) == f"{file}: an executable named 'x' has to stand beside it, and there is none"
    (folder / "x").touch(mode=0o644)
    assert reason(folder).endswith(f"and there is none (chmod +x {folder / 'x'} makes it one)")
    drop("x", "#!/bin/sh\n", suffix=".sh")
    drop("x", "#!/bin/sh\n", suffix=".py")
    assert reason(folder) == f"{file}: one executable has to stand beside it, not x.py and x.sh"


def test_a_key_of_a_file_is_told_from_the_file(drop, folder):
    drop("x", "#!/bin/sh\n", 'args.who = { type = "string" }')
    assert reason(folder).startswith(f"{folder / 'x.toml'}: args.who: nothing uses it")


def test_what_every_user_may_change_is_refused(drop, folder):
    program = drop("x", "#!/bin/sh\n")
    program.chmod(0o777)
    assert "every user" in reason(folder)
    program.chmod(0o755)
    folder.chmod(0o777)
    assert "every user" in reason(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_user_is_refused(drop, folder):
    program = drop("x", "#!/bin/sh\n")
    os.chown(program, 12345, 12345)
    assert "another user" in reason(folder)
