"""Cgroups of owned trees: where they may be, what is removed, and what is not ours. With the real file system."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import anyio
import pytest

from trunnion.process import Cgroups, Keeper, Limits, SpawnFailed, Subtree, client
from trunnion.process.delegation import prepare
from trunnion.process.keeper import cgroups, tree


@pytest.fixture
def host(place):
    """The id of a host; whatever it leaves is removed."""
    name = uuid.uuid4().hex
    yield name
    for root in Path(place).glob(f"trunnion-{name}-*"):
        for leaf in root.iterdir():
            if leaf.is_dir():
                (leaf / "cgroup.kill").write_text("1")
                cgroups.Group(str(leaf)).remove()
        cgroups.close(str(root))


def within(place: str, host: str, boot: str = "1") -> Cgroups:
    return Cgroups(place=place, host=host, boot=boot)


async def test_each_program_has_a_cgroup_of_its_own_and_none_is_left(place, host, marked):
    async with Keeper(cgroups=within(place, host)) as keeper:
        root = Path(place) / f"trunnion-{host}-1"
        processes = [await keeper.spawn(marked.spawn("sleep", "600")) for _ in range(2)]
        leaves = [leaf for leaf in root.iterdir() if leaf.is_dir()]
        inside = sorted((leaf / "cgroup.procs").read_text().split() for leaf in leaves)
        assert inside == sorted([str(process.pid)] for process in processes)
        assert [process.mechanism for process in processes] == ["cgroup", "cgroup"]
        assert keeper.surveyor()().cgroups == 2
        for process in processes:
            await process.stop(0)
            process.close()
        assert keeper.surveyor()().cgroups == 0
    assert not root.exists()


async def test_a_program_that_leaves_its_cgroup_is_killed_all_the_same(place, host, marked, auntil):
    """The same user may do that; the walk finds who did."""
    script = f"sleep 600 & echo $! > {place}/cgroup.procs; echo up; wait"
    async with (
        Keeper(cgroups=within(place, host)) as keeper,
        await keeper.spawn(marked.spawn("sh", "-c", script)) as process,
    ):
        up = anyio.Event()
        process.stdout.start(lambda data: up.set())
        await up.wait()
        await auntil(lambda: len(marked.pids()) == 2, "both of them")
        assert len(await process.tree()) == 1
        process.kill()
        ended = await process.wait()
        assert (ended.killed_tree, ended.left) == (2, 0)
    assert marked.pids() == []


async def test_cgroups_that_a_program_made_below_its_own_go_with_it(place, host, marked):
    code = (
        "import os\n"
        "own = '{place}' + open('/proc/self/cgroup').read().rsplit('0::')[1].split()[0]\n"
        "os.makedirs(own + '/a/b')\n"
        "if os.fork() == 0:\n"
        "    open(own + '/a/b/cgroup.procs', 'w').write('0')\n"
        "    print('up', flush=True)\n"
        "import time\n"
        "time.sleep(600)\n"
    ).replace("{place}", place)
    async with Keeper(cgroups=within(place, host)) as keeper:
        async with await keeper.spawn(marked.python(code)) as process:
            up = anyio.Event()
            process.stdout.start(lambda data: up.set())
            await up.wait()
            assert len(await process.tree()) == 2
            process.kill()
            assert (await process.wait()).killed_tree == 2
        assert keeper.surveyor()().cgroups == 0


def test_cgroups_nested_deeper_than_any_recursion(tmp_path):
    """Defence: ``_folders`` goes down without calling itself; a program may nest its own, and its minder would die."""
    leaf = tmp_path / "leaf"
    leaf.mkdir()
    for depth in range(1, 1100):
        Path(str(leaf) + "/a" * depth).mkdir()
    group = cgroups.Group(str(leaf))
    assert group.living() == []
    assert group.remove()
    assert not leaf.exists()


def leave(place: str, host: str, name: str) -> tuple[Path, subprocess.Popen]:
    """What a killed host leaves: a root of an earlier start, a leaf of one minder, a process in it."""
    leaf = Path(place) / f"trunnion-{host}-0" / name
    leaf.mkdir(parents=True)
    process = subprocess.Popen(["sleep", "600"])
    (leaf / "cgroup.procs").write_text(str(process.pid))
    return leaf, process


async def test_the_next_start_ends_what_the_last_one_left(place, host, marked, auntil):
    """A minder of the name is alive, but was started at another time: it is another process."""
    own = tree.look(os.getpid())
    leaf, process = leave(place, host, f"{own.pid}-{own.start + 1}-1")
    async with Keeper(cgroups=within(place, host)) as keeper:
        async with await keeper.spawn(marked.spawn("true")) as one:
            await one.wait()
        await auntil(lambda: not leaf.parent.exists(), "the old root removed")
    assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("whose", ["another host's", "a living minder's", "of another name"])
async def test_what_is_not_ours_is_not_touched(place, host, marked, whose):
    own = tree.look(os.getpid())
    other = uuid.uuid4().hex if whose == "another host's" else host
    names = {"another host's": f"{own.pid}-{own.start + 1}-1", "a living minder's": f"{own.pid}-{own.start}-1"}
    leaf, process = leave(place, other, names.get(whose, "something"))
    try:
        async with Keeper(cgroups=within(place, host)) as keeper, await keeper.spawn(marked.spawn("true")) as one:
            await one.wait()
        assert leaf.exists()
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        leaf.rmdir()
        leaf.parent.rmdir()


def alive(pid: int) -> bool:
    seen = tree.look(pid)
    return seen is not None and not seen.zombie


def test_what_all_killed_together_leave_is_ended_by_the_next_start(place, host, marked, until):
    """Host, guard, keeper and minder at once: only the cgroup still knows whose the program was."""
    code = """
        import asyncio, os, sys
        from trunnion.process import Cgroups, Keeper, Spawn
        from trunnion.process.keeper import tree
        async def main():
            place, host, boot, mark = sys.argv[1:]
            async with Keeper(cgroups=Cgroups(place=place, host=host, boot=boot)) as keeper:
                process = await keeper.spawn(Spawn(argv=("sleep", "600"), env={mark: "1", "PATH": os.defpath}))
                print(tree.look(keeper.pid).parent, keeper.pid, process.minder, process.pid, flush=True)
                await asyncio.Event().wait()
        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(code), place, host]
    with subprocess.Popen([*command, "1", marked.name], stdout=subprocess.PIPE) as first:
        *above, program = map(int, first.stdout.readline().split())
        for pid in (*above, first.pid):  # from the top, so that none of them has its turn to clear up
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in above), "all of them gone")
    until(lambda: marked.pids() == [program], "the program alone")
    with subprocess.Popen([*command, "2", marked.name], stdout=subprocess.PIPE) as second:
        second.stdout.readline()
        until(lambda: program not in marked.pids(), "the program of the first host")
        second.kill()
    until(lambda: not marked.pids(), "the program of the second host")
    until(lambda: not list(Path(place).glob(f"trunnion-{host}-*")), "its cgroups")


# -- where they may be ----------------------------------------------------------------------------


def test_switched_off(place, host):
    assert prepare(within("off", host)) == Subtree(why="host.cgroup is 'off'")


def test_a_place_that_is_no_cgroup_is_named(tmp_path):
    subtree = prepare(within(str(tmp_path), "h"))
    assert (subtree.root, subtree.controllers) == ("", frozenset())
    assert f"{tmp_path}, which host.cgroup names, is no cgroup v2" in subtree.why


async def test_a_place_nothing_can_be_moved_to_leaves_the_walk(tmp_path, marked, monkeypatch):
    """A program without limits starts all the same; one with limits does not."""
    unusable = Subtree(str(tmp_path), frozenset({"memory"}), "never asked")
    monkeypatch.setattr(client, "prepare", lambda wanted: unusable)
    async with Keeper(cgroups=within("auto", "h")) as keeper:
        async with await keeper.spawn(marked.spawn("true")) as process:
            assert (await process.wait()).ok
            assert process.mechanism == "walk"
        with pytest.raises(SpawnFailed, match="cgroup") as caught:
            await keeper.spawn(marked.spawn("true", limits=Limits(memory=1 << 30)))
        assert caught.value.cause == "bad_limits"


DELEGATED = """
    import asyncio, json, os, subprocess, sys
    from pathlib import Path
    from trunnion.process import Cgroups, Keeper, Spawn
    Path(sys.argv[1], "cgroup.procs").write_text("0")
    child = subprocess.Popen(["sleep", "600"])
    async def main():
        async with Keeper(cgroups=Cgroups(place="auto", host="h", boot="1")) as keeper:
            async with await keeper.spawn(Spawn(argv=("sleep", "600"))) as process:
                groups = [Path(f"/proc/{pid}/cgroup").read_text() for pid in (os.getpid(), child.pid, process.pid)]
                ends = [text.rpartition("0::")[2].strip() for text in groups]
                print(json.dumps([keeper.subtree.root, keeper.subtree.why, process.mechanism, *ends]))
    asyncio.run(main())
    child.kill()
    child.wait()
"""


@pytest.fixture
def delegated(place):
    """Runs a host in a new cgroup that may be marked as delegated; what it says of its subtree."""
    top = Path(place) / f"test-{uuid.uuid4().hex}"

    def run(marked: bool, below: str = "") -> list[str]:
        (top / below).mkdir(parents=True)
        if marked:
            try:
                os.setxattr(top, "user.delegate", b"1")
            except OSError:
                pytest.skip("cgroups of this kernel take no user.* attributes")
        words = [sys.executable, "-c", textwrap.dedent(DELEGATED), str(top / below)]
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)

    yield run, top
    for folder in sorted(top.rglob("*/"), reverse=True):
        folder.rmdir()
    top.rmdir()


def test_a_delegated_cgroup_is_used_and_the_host_steps_aside(delegated):
    run, top = delegated
    root, _, mechanism, host, child, program = run(marked=True)
    assert (root, mechanism) == (f"{top}/trunnion-h-1", "cgroup")
    assert host.endswith(f"{top.name}/trunnion.host")
    assert child == host
    assert f"{top.name}/trunnion-h-1/" in program


def test_a_host_in_a_leaf_of_what_was_delegated_uses_the_whole(delegated):
    run, top = delegated
    root, _, mechanism, host, *_ = run(marked=True, below="main")
    assert (root, mechanism) == (f"{top}/trunnion-h-1", "cgroup")
    assert host.endswith(f"{top.name}/main")


def test_a_cgroup_that_is_only_writable_is_not_used(delegated):
    run, top = delegated
    root, why, mechanism, host, *_ = run(marked=False)
    assert (root, mechanism) == ("", "walk")
    assert "is not delegated" in why
    assert host.endswith(top.name)
