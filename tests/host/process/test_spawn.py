"""Starting, ending and what is reported about it."""

import asyncio
import errno
import os
import resource
import signal
import sys
from pathlib import Path

import anyio
import pytest

from trunnion.model.errors import Unavailable
from trunnion.process import Keeper, Limits, PipeReader, Spawn, SpawnFailed, read_blocks
from trunnion.process.keeper import tree


async def text_of(reader: PipeReader) -> str:
    parts = []
    await read_blocks(reader, lambda block: parts.append(block.text))
    return "".join(parts)


async def output(keeper: Keeper, spawn: Spawn) -> str:
    async with await keeper.spawn(spawn) as process:
        text = await text_of(process.stdout)
        assert (await process.wait()).ok
        return text


async def test_e16_exit_codes_are_exact(keeper, marked, figure):
    for code in range(256):
        async with await keeper.spawn(marked.spawn("sh", "-c", f"exit {code}")) as process:
            end = await process.wait()
        assert (end.code, end.signal, end.signal_name) == (code, None, "")
        assert end.ok == (code == 0)
    figure("exit statuses reported exactly", "256 of 256")


HARMLESS = {"SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"}


async def test_e16_signals_are_exact(keeper, marked, figure):
    deadly = [number for number in signal.Signals if number.name not in HARMLESS]
    for number in deadly:
        async with await keeper.spawn(marked.spawn("sh", "-c", f"kill -{int(number)} $$")) as process:
            end = await process.wait()
        assert (end.code, end.signal, end.signal_name) == (None, number, number.name)
    figure("signals reported exactly", f"{len(deadly)} of {len(deadly)}")


async def test_e16_a_core_dump_is_told(keeper, marked, tmp_path):
    if Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/")):
        pytest.skip("core dumps of this system go to a program or folder of its own")
    limits = Limits(core=1 << 30)
    try:
        spawn = marked.spawn("sh", "-c", "kill -SEGV $$", cwd=str(tmp_path), limits=limits)
        async with await keeper.spawn(spawn) as process:
            end = await process.wait()
    except SpawnFailed as error:
        pytest.skip(f"no core dumps here: {error}")
    assert (end.signal_name, end.core) == ("SIGSEGV", True)


async def test_a_signal_is_sent_to_the_program(keeper, marked):
    async with await keeper.spawn(marked.spawn("sleep", "600")) as process:
        process.signal(signal.SIGUSR2)
        assert (await process.wait()).signal_name == "SIGUSR2"


async def test_resources_are_reported(keeper, marked):
    code = "b = b'x' * 60_000_000\nn = 0\nimport time\nwhile time.process_time() < 0.2: n += 1"
    async with await keeper.spawn(marked.python(code)) as process:
        end = await process.wait()
    assert end.user_seconds + end.system_seconds >= 0.19
    assert 60_000_000 < end.max_rss < 200_000_000
    assert (end.killed_tree, end.left) == (0, 0)


async def test_resources_are_those_of_this_program_only(keeper, marked):
    async with await keeper.spawn(marked.python("import time\nwhile time.process_time() < 0.3: pass")) as process:
        await process.wait()
    async with await keeper.spawn(marked.spawn("true")) as process:
        end = await process.wait()
    assert keeper.census().minders == 1, "the second program should have had the same minder"
    assert end.user_seconds + end.system_seconds < 0.2


async def test_environment_directory_umask_and_streams(keeper, marked, tmp_path):
    script = "pwd; umask; echo $WORD; echo $HOME; cat; echo oops >&2"
    spawn = marked.spawn("sh", "-c", script, env={"WORD": "ü x"}, cwd=str(tmp_path), umask=0o027, stdin="pipe")
    async with await keeper.spawn(spawn) as process:
        assert process.stdin and process.stderr
        process.stdin.send(b"from stdin\n")
        process.stdin.close()
        assert await text_of(process.stdout) == f"{tmp_path.resolve()}\n0027\nü x\n\nfrom stdin\n"
        assert await text_of(process.stderr) == "oops\n"
    own = await output(keeper, marked.spawn("sh", "-c", "umask"))
    assert int(own, 8) == host_umask(), "it kept the umask of the one before"


def host_umask() -> int:
    value = os.umask(0o022)
    os.umask(value)
    return value


async def test_streams_can_be_merged_in_order(keeper, marked):
    spawn = marked.spawn("sh", "-c", "echo a; echo b >&2; echo c", merge_stderr=True)
    async with await keeper.spawn(spawn) as process:
        assert process.stderr is None
        assert await text_of(process.stdout) == "a\nb\nc\n"


async def test_without_a_pipe_stdin_is_empty(keeper, marked):
    assert await output(keeper, marked.spawn("sh", "-c", "cat; echo end")) == "end\n"


async def test_a_large_environment_arrives(keeper, marked):
    env = {f"V{i}": "x" * 100_000 for i in range(15)}
    assert await output(keeper, marked.spawn("sh", "-c", "echo ${#V14}", env=env)) == "100000\n"


async def test_nothing_of_the_host_is_inherited_but_the_three_pipes(keeper, marked, tmp_path):
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        async with Keeper() as late, await late.spawn(marked.spawn("ls", "-l", "/proc/self/fd")) as process:
            listing = await text_of(process.stdout)
            minders = [Path(f"/proc/{pid}/fd") for pid in (late.pid, *_children(late.pid))]
            held = [str(fd.readlink()) for folder in minders for fd in folder.iterdir() if fd.exists()]
    names = [line.split()[8] for line in listing.splitlines()[1:]]
    assert names == ["0", "1", "2", "3"], "0-2 and the one ls itself opens"
    assert "lock" not in listing
    assert not any("lock" in target for target in held)


def _descriptors(name: str) -> int:
    return len(list(Path(f"/proc/{name}/fd").iterdir()))


def _children(pid: int) -> list[int]:
    seen = [tree.look(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [process.pid for process in seen if process and process.parent == pid]


async def test_signals_are_at_their_defaults(keeper, marked):
    text = await output(keeper, marked.spawn("grep", "-E", "SigIgn|SigBlk", "/proc/self/status"))
    masks = [int(line.split()[1], 16) for line in text.splitlines()]
    of_the_c_library = 3 << 31
    assert [mask & ~of_the_c_library for mask in masks] == [0, 0], text


async def test_limits_bind_the_child_only(keeper, marked):
    limits = Limits(open_files=40, core=0, cpu_seconds=7, file_size=4096, address_space=1 << 30)
    script = "ulimit -n; ulimit -c; ulimit -t; ulimit -f; ulimit -v"
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = await output(keeper, marked.spawn("sh", "-c", script, limits=limits))
    assert shown.split() == ["40", "0", "7", "8", str(1 << 20)]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    assert (await output(keeper, marked.spawn("sh", "-c", "ulimit -n"))).strip() == str(before[0])


async def test_a_limit_ends_a_program(keeper, marked):
    spawn = marked.python("while True: pass", limits=Limits(cpu_seconds=1, core=0))
    async with await keeper.spawn(spawn) as process:
        assert (await process.wait()).signal_name == "SIGKILL"


@pytest.fixture
def failing(tmp_path, marked):
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\necho no\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("#!/nowhere/interpreter -x\n")
    wrong.chmod(0o755)
    text = tmp_path / "text"
    text.write_text("just text\n")
    text.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "inpath").write_text("#!/bin/sh\n")
    return {
        "missing": (marked.spawn("no-such-program-anywhere"), errno.ENOENT),
        "missing by path": (marked.spawn(str(tmp_path / "absent")), errno.ENOENT),
        "not_executable": (marked.spawn(str(plain)), errno.EACCES),
        "not_executable in PATH": (marked.spawn("inpath", env={"PATH": str(tmp_path / "bin")}), errno.EACCES),
        "is_directory": (marked.spawn(str(tmp_path)), errno.EACCES),
        "bad_interpreter": (marked.spawn(str(wrong)), errno.ENOENT),
        "bad_format": (marked.spawn(str(text)), errno.ENOEXEC),
        "bad_cwd": (marked.spawn("true", cwd=str(tmp_path / "gone")), errno.ENOENT),
        "too_long": (marked.spawn("true", "x" * 300_000), errno.E2BIG),
    }


@pytest.mark.parametrize("limited", [False, True], ids=["posix_spawn", "fork"])
@pytest.mark.parametrize(
    "case",
    [
        "missing",
        "missing by path",
        "not_executable",
        "not_executable in PATH",
        "is_directory",
        "bad_interpreter",
        "bad_format",
        "bad_cwd",
        "too_long",
    ],
)
async def test_e17_what_does_not_start_is_named(keeper, failing, case, limited):
    spawn, number = failing[case]
    if limited:
        spawn = Spawn(argv=spawn.argv, env=spawn.env, cwd=spawn.cwd, limits=Limits(core=0))
    with pytest.raises(SpawnFailed) as caught:
        await keeper.spawn(spawn)
    assert caught.value.cause == case.split()[0]
    assert caught.value.details["errno"] == number
    assert caught.value.permanent
    assert keeper.census().alive == 0


async def test_a_limit_that_cannot_be_set_is_named(keeper, marked):
    if os.geteuid() == 0:
        limits, name = Limits(open_files=1 << 40), "open_files"
    else:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limits, name = Limits(open_files=hard + 1), "open_files"
    with pytest.raises(SpawnFailed, match=name) as caught:
        await keeper.spawn(marked.spawn("true", limits=limits))
    assert caught.value.cause == "bad_limits"


async def test_e17_a_program_deleted_while_it_runs_runs_on(keeper, marked, tmp_path):
    script = tmp_path / "program"
    script.write_text("#!/bin/sh\necho up\nread line\nexit 7\n")
    script.chmod(0o755)
    async with await keeper.spawn(marked.spawn(str(script), stdin="pipe")) as process:
        up = anyio.Event()
        process.stdout.start(lambda data: up.set())
        await up.wait()
        script.unlink()
        assert process.stdin
        process.stdin.close()
        assert (await process.wait()).code == 7
    with pytest.raises(SpawnFailed) as caught:
        await keeper.spawn(marked.spawn(str(script)))
    assert caught.value.cause == "missing"


@pytest.mark.parametrize(
    ("argv", "env", "wanted"), [((), {}, "argv"), (("a\0b",), {}, "NUL"), (("a",), {"A=B": "x"}, "variable")]
)
def test_an_impossible_request_is_refused_at_once(argv, env, wanted):
    with pytest.raises(ValueError, match=wanted):
        Spawn(argv=argv, env=env)


async def test_descriptors_and_zombies_are_flat(keeper, marked, auntil):
    async def once() -> None:
        async with await keeper.spawn(marked.spawn("sh", "-c", "true & echo hi")) as process:
            await text_of(process.stdout)
            await process.wait()
        with pytest.raises(SpawnFailed):
            await keeper.spawn(marked.spawn("/nowhere"))

    def census() -> tuple[int, int, int]:
        below = _children(keeper.pid)
        below += [grandchild for child in below for grandchild in _children(child)]
        return _descriptors("self"), _descriptors(str(keeper.pid)), len(below)

    await once()
    await auntil(lambda: census()[2] <= 1, "one idle minder or none, and nothing below")
    before = census()[:2]
    for _ in range(200):
        await once()
    await auntil(lambda: census()[2] <= 1, "no zombie is left")
    assert census()[:2] == before
    assert keeper.census().started == 201


def descriptors() -> set[int]:
    """Of this process, with the one that is open to look."""
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}


def spare_descriptors(number: int) -> None:
    """Leave this process so many numbers for new descriptors, or one more."""
    taken, limit = descriptors(), 0
    while number:
        number -= limit not in taken
        limit += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


async def test_without_descriptors_a_spawn_is_refused_by_name_and_leaves_none(marked):
    """Defence: ``Keeper.spawn`` takes what the system refuses at any of its steps for what it is."""
    limits, before, refused = resource.getrlimit(resource.RLIMIT_NOFILE), len(descriptors()), 0
    for number in range(10):
        async with Keeper() as keeper:
            held, said = len(descriptors()), ""
            spare_descriptors(number)
            try:
                async with await keeper.spawn(marked.spawn("true")) as process:
                    await process.wait()
            except Unavailable as error:
                said = error.message
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            if said:
                refused += 1
                assert "Too many open files" in said
                assert len(descriptors()) == held
            assert await output(keeper, marked.spawn("echo", "x")) == "x\n"
    assert refused >= 5
    assert len(descriptors()) == before


async def test_many_at_once(keeper, marked):
    codes = []

    async def one(code: int) -> None:
        async with await keeper.spawn(marked.spawn("sh", "-c", f"exit {code}")) as process:
            codes.append((code, (await process.wait()).code))

    async with anyio.create_task_group() as group:
        for code in range(60):
            group.start_soon(one, code)
    assert sorted(codes) == [(code, code) for code in range(60)]
    assert keeper.census().minders <= 4, "idle minders should not pile up"


async def test_a_closed_keeper_says_so(marked):
    keeper = Keeper()
    await keeper.start()
    await keeper.close()
    with pytest.raises(Unavailable, match="is closed"):
        await keeper.spawn(marked.spawn("true"))


async def test_the_first_spawn_starts_the_keeper(marked):
    """Defence: ``Keeper._minder`` starts what is not there; a host that spawns nothing has no process for it."""
    keeper = Keeper()
    assert keeper.pid == 0
    starts = [keeper.spawn(marked.spawn("true")) for _ in range(3)]
    for process in await asyncio.gather(*starts):
        async with process:
            assert (await process.wait()).ok
    pid = keeper.pid
    assert pid
    await keeper.close()
    assert not Path(f"/proc/{pid}").exists()


async def test_a_keeper_that_was_never_used_closes(marked):
    keeper = Keeper()
    await keeper.close()
    assert keeper.pid == 0


async def test_the_keeper_imports_little(keeper):
    maps = Path(f"/proc/{keeper.pid}/maps").read_text()
    assert "msgspec" not in maps
    rss = int(Path(f"/proc/{keeper.pid}/statm").read_text().split()[1]) * resource.getpagesize()
    assert rss < 20_000_000, sys.version
