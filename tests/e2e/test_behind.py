"""A host behind another process: it starts, stops as it is asked to, and tells why it cannot start."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest
from behind_kit import CONFIG, GRACE, asleep, others, submit, until_stopping
from hypothesis import given
from hypothesis import strategies as st

from trunnion.launcher import behind
from trunnion.launcher.behind import HostBehind
from trunnion.launcher.main import cli
from trunnion.launcher.options import Options, options_of
from trunnion.model.errors import Conflict, DeadlineExceeded, InvalidConfig, Unavailable


async def test_it_starts_apart_and_stops_in_order(here):
    host = await HostBehind.start(Options())
    assert host.status["pid"] == host.pid
    assert host.socket == here.data / "run" / "host.sock"
    assert os.getsid(host.pid) == host.pid != os.getsid(0)
    streams = [str(Path(f"/proc/{host.pid}/fd/{number}").readlink()) for number in range(3)]
    assert streams == ["/dev/null", str(host.log), str(host.log)]
    assert host.log == here.data / "logs" / "up.log"
    assert stat.S_IMODE(host.log.stat().st_mode) == 0o600
    assert [stat.S_IMODE(path.stat().st_mode) for path in (here.data, host.log.parent)] == [0o700, 0o700]
    await host.stop()
    assert host.how == await host.ended() == "exit status 0"
    assert not others(here)
    lines = (here.data / "logs" / "host.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["text"] == "the host stops: the shell in front of it has ended"
    await host.stop()


async def test_it_waits_for_what_runs_when_it_stops(here, tmp_path):
    here.config.write_text(CONFIG.replace(f"shutdown_grace = {GRACE}", "shutdown_grace = 20"))
    host = await HostBehind.start(Options())
    client, run = await submit(host, "demo.nap", until=str(tmp_path / "go"))
    async with client:
        await asleep(client, run)
        stopping = asyncio.create_task(host.stop())
        await until_stopping(client)
        (tmp_path / "go").touch()
        assert (await client.wait(run.id)).status == "succeeded"
        await stopping
    assert host.how == "exit status 0"


async def test_asked_once_more_it_waits_for_nothing(here):
    """Defence: the second step of ``stop``; with a grace of 20 s."""
    here.config.write_text(CONFIG.replace(f"shutdown_grace = {GRACE}", "shutdown_grace = 20"))
    host = await HostBehind.start(Options())
    client, run = await submit(host, "demo.nap")
    async with client:
        await asleep(client, run)
        begun = time.monotonic()
        first = asyncio.create_task(host.stop())
        await until_stopping(client)
        await host.stop()
        await first
    assert host.how == "exit status 0"
    assert time.monotonic() - begun < 5


async def test_patience_ends_with_force(here, monkeypatch):
    """Defence: the third step of ``stop``; a loop that does not turn hears no signal."""
    monkeypatch.setattr(behind, "HURRY", 0.2)
    here.odd("import trunnion.launcher.lifeline as l; l.STUCK = 600")
    host = await HostBehind.start(Options())
    unanswered = asyncio.create_task(submit(host, "odd.hang"))
    while not Path("hanging").exists():
        await asyncio.sleep(0.01)
    await host.stop(0.2)
    with pytest.raises(Unavailable):
        await unanswered
    assert host.how == "killed by SIGKILL"


async def test_its_death_is_noticed_at_once(here):
    host = await HostBehind.start(Options())
    os.kill(host.pid, signal.SIGKILL)
    async with asyncio.timeout(1):
        assert await host.ended() == "killed by SIGKILL"


# -- what keeps it from starting ------------------------------------------------------------------


async def test_a_mistake_in_the_configuration_is_told_as_such(here):
    here.config.write_text(CONFIG.replace("cancel_grace", "cancel_grave"))
    with pytest.raises(InvalidConfig, match="did you mean 'cancel_grace'") as caught:
        await HostBehind.start(Options())
    assert caught.value.details["problems"]
    assert not others(here)


async def test_a_plugin_that_was_asked_for_and_is_not_there_is_named(here):
    with pytest.raises(Exception, match="plugin 'nix' was asked for but is not installed") as caught:
        await HostBehind.start(Options(only=("nix",)))
    assert caught.value.code == "broken_plugin"


async def test_one_that_dies_as_it_starts_is_told_with_its_last_words(here):
    here.odd("import signal; os.write(2, b'oh dear\\n'); os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(Unavailable, match=r"killed by SIGKILL; its last words: oh dear; see .*/up.log"):
        await HostBehind.start(Options())


async def test_one_that_does_not_come_up_is_stopped(here, monkeypatch):
    """Defence: a plugin that holds up the import holds up the loop with it."""
    monkeypatch.setattr(behind, "UNDOING", 0.1)
    monkeypatch.setattr(behind, "HURRY", 0.1)
    here.odd("time.sleep(600)")
    with pytest.raises(DeadlineExceeded, match=r"was not up within 0\.5 s"):
        await HostBehind.start(Options(), timeout=0.5)
    assert not others(here)


async def test_a_start_that_is_given_up_leaves_nothing(here, monkeypatch):
    monkeypatch.setattr(behind, "UNDOING", 0.1)
    monkeypatch.setattr(behind, "HURRY", 0.1)
    here.odd("open('importing', 'w').close(); time.sleep(600)")
    starting = asyncio.create_task(HostBehind.start(Options()))
    while not Path("importing").exists():
        await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not others(here)


async def test_a_second_one_is_refused_and_leaves_the_log_of_the_first(here):
    """Defence: ``_new_log`` takes the name only where no host is."""
    first = await HostBehind.start(Options())
    inode = first.log.stat().st_ino
    with pytest.raises(Conflict, match=f"held by process {first.pid}") as caught:
        await HostBehind.start(Options())
    assert caught.value.details["pid"] == first.pid
    assert first.log.stat().st_ino == inode
    await first.stop()


async def test_a_data_directory_that_cannot_be_made_is_told_by_the_host(here):
    here.data.write_text("a file")
    with pytest.raises(InvalidConfig, match="not usable as data directory"):
        await HostBehind.start(Options())


async def test_a_socket_that_is_taken_is_told(here):
    for folder in (here.data, here.data / "run"):
        folder.mkdir(mode=0o700)
    (here.data / "run" / "host.sock").write_text("a file")
    with pytest.raises(Unavailable, match=r"host\.sock is in the way: it is not a socket"):
        await HostBehind.start(Options())
    assert not others(here)


async def test_a_host_without_a_local_socket_is_told(here):
    """Defence: it would be up and no client of it could ever say why it does not answer."""
    here.config.write_text(CONFIG + "[frontends]\nsocket = false\n")
    with pytest.raises(Unavailable, match="its local socket is switched off"):
        await HostBehind.start(Options())
    assert not others(here)


async def test_a_plugin_that_refuses_everything_does_not_keep_it_from_being_up(here):
    broken = "from trunnion import hookimpl\n@hookimpl\ndef trunnion_authorize(request):\n    raise OSError\n"
    (here.root / "plugins" / "gate.py").write_text(broken)
    host = await HostBehind.start(Options(only=("gate",)))
    assert host.status["pid"] == host.pid
    await host.stop()


async def test_what_is_printed_before_it_begins_is_not_taken_for_its_word(here, tmp_path, monkeypatch):
    """Defence: what says that it is up names its pid."""
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "sitecustomize.py").write_text('print(\'{"mode": "none"}\', flush=True)')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "early"))
    host = await HostBehind.start(Options())
    assert host.status["mode"] == "serve"
    await host.stop()


async def test_what_is_printed_past_everybody_is_not_taken_for_its_word(here):
    """Defence: ``take_output``: only the launcher has the pipe in front."""
    here.odd("os.write(1, b'{\"pid\": 1}\\n')")
    host = await HostBehind.start(Options())
    assert host.status["mode"] == "serve"
    client, run = await submit(host, "odd.prints")
    async with client:
        assert (await client.wait(run.id)).status == "succeeded"
    assert host.last_words() == '{"pid": 1}\nstraight to standard output'
    await host.stop()
    assert host.last_words()


# -- its options ----------------------------------------------------------------------------------

words = st.text(st.characters(codec="ascii", categories=["L", "N", "P"], exclude_characters=","), min_size=1)
ids = st.lists(words, max_size=3).map(tuple)


@given(
    st.builds(
        Options,
        config=st.none() | words,
        data_dir=st.none() | words,
        only=st.none() | ids,
        without=ids,
        plugin_dirs=ids,
        set=ids,
        safe_mode=st.booleans(),
        strict=st.booleans(),
        debug=st.booleans(),
        connect=st.none() | words,
        token_file=st.none() | words,
        ca=st.none() | words,
        cert=st.none() | words,
        key=st.none() | words,
    )
)
def test_options_survive_being_handed_on(options: Options) -> None:
    assert options_of(cli.make_context("trunnion", [*options.words, "up"])) == options
