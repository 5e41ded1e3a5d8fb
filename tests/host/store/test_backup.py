"""Backups: what is in them, what is refused, and that what goes wrong leaves nothing half."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import sqlite3
import subprocess
import sys
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from store_kit import Bench, event, opened, until

from trunnion.model.errors import Conflict, IncompatibleData, InvalidArguments, TrunnionError, Unavailable
from trunnion.model.events import TEXT, Event, run_stream
from trunnion.model.runs import ArtifactInfo, Run, RunFilter
from trunnion.store import Batch, open_readonly
from trunnion.store.backup import Manifest, Source, back_up, restore, verify
from trunnion.store.backup.manifest import LAST, Entry, first_content
from trunnion.store.backup.packing import HEADER, Member, Packer, Unpacker
from trunnion.store.check import examine
from trunnion.store.connections import connect_reader
from trunnion.store.factory import database_path


def source_of(root: Path, **changes: object) -> Source:
    values: dict[str, object] = {
        "root": root,
        "connect": lambda: connect_reader(database_path(root)),
        "config": None,
        "with_key": False,
        "version": "1",
        "now": 5,
        **changes,
    }
    return Source(**values)  # type: ignore[arg-type]


def keep(bench: Bench, run: Run, name: str, data: bytes) -> ArtifactInfo:
    sha256 = hashlib.sha256(data).hexdigest()
    info = ArtifactInfo(
        id=name, run_id=run.id, name=name, media_type="text/plain", size=len(data), sha256=sha256, created=1
    )
    bench.store.artifact_path(run.id, name).write_bytes(data)
    bench.commit(Batch(artifacts=[info]))
    return info


def spilled(bench: Bench) -> tuple[Run, list[Event]]:
    """A live run with text in its output file."""
    run = bench.accept(bench.run())
    events = [event(run, 1)]
    for seq in range(2, 6):
        events.append(event(run, seq, TEXT, f"{seq}" * 600_000))
        bench.commit(Batch(appends={run_stream(run.id): [events[-1]]}))
    return run, events


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Bench]:
    """A data directory with some of everything, its store open."""
    root = tmp_path / "data"
    root.mkdir()
    with opened("process", root) as bench:
        for _ in range(20):
            bench.ended()
        keep(bench, bench.accept(bench.run()), "a1", b"kept" * 100)
        spilled(bench)
        for name in ("instances/one/settings.json", "packages/p/bin/tool", "shared/x", "audit/1.jsonl", "uploads/u1"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(name.encode() * 3)
        (root / "packages/p/bin/tool").chmod(0o755)
        (root / "instances/empty").mkdir()
        (root / "host_id").write_text("the host\n")
        (root / "secret.key").write_bytes(b"k" * 72)
        (root / "logs").mkdir()
        (root / "logs/host.jsonl").write_text("{}")
        yield bench


def content_of(root: Path) -> dict[str, bytes]:
    """Every file by name, but for what a store keeps for itself."""
    files = [path for path in root.rglob("*") if path.is_file()]
    found = {str(path.relative_to(root)): path.read_bytes() for path in files}
    return {name: data for name, data in found.items() if not name.startswith("db/")}


def events_of(root: Path) -> dict[str, list[Event]]:
    store = open_readonly(root, lambda: 0)
    try:
        runs = [entry.run for entry in store.live()]
        runs += [run for run in store.list_runs(RunFilter(), 1000, None).items if run.ended]
        return {run.id: store.read_events(run_stream(run.id), 0, 1000, 1 << 30) for run in runs}
    finally:
        store.close()


# -- what is in it ------------------------------------------------------------------------------------


def test_all_of_it_comes_back(kept: Bench, tmp_path: Path) -> None:
    root, file, place = kept.data_dir, tmp_path / "b", tmp_path / "new"
    config = tmp_path / "trunnion.toml"
    config.write_text("[log]\n")
    manifest = back_up(source_of(root, config=config), file)
    assert verify(file) == manifest
    done = restore(file, place)
    assert done.troubles == ()
    assert done.aside is None
    expected = content_of(root)
    del expected["secret.key"], expected["logs/host.jsonl"]
    assert content_of(place) == {**expected, "config-of-backup/trunnion.toml": b"[log]\n"}
    assert (place / "instances/empty").is_dir()
    assert (place / "packages/p/bin/tool").stat().st_mode & 0o777 == 0o755
    assert place.stat().st_mode & 0o777 == 0o700
    kept.store.close()
    assert events_of(place) == events_of(root)
    assert sum(map(len, events_of(place).values())) == 46
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data", "new", "trunnion.toml"]


def test_the_key_comes_only_when_it_is_asked_for(kept: Bench, tmp_path: Path) -> None:
    assert not back_up(source_of(kept.data_dir), tmp_path / "without").has_key
    assert back_up(source_of(kept.data_dir, with_key=True), tmp_path / "with").has_key
    restore(tmp_path / "without", tmp_path / "one")
    restore(tmp_path / "with", tmp_path / "two")
    assert not (tmp_path / "one/secret.key").exists()
    assert (tmp_path / "two/secret.key").read_bytes() == b"k" * 72
    assert (tmp_path / "two/secret.key").stat().st_mode & 0o777 == 0o600
    assert b"k" * 72 not in gzip.decompress((tmp_path / "without").read_bytes())


def test_it_stays_the_same_host_unless_told_otherwise(kept: Bench, tmp_path: Path) -> None:
    back_up(source_of(kept.data_dir), tmp_path / "b")
    restore(tmp_path / "b", tmp_path / "same")
    restore(tmp_path / "b", tmp_path / "other", new_host_id=True)
    assert (tmp_path / "same/host_id").read_text() == "the host\n"
    assert not (tmp_path / "other/host_id").exists()


def test_ordinary_tools_can_look_inside(kept: Bench, tmp_path: Path) -> None:
    long = kept.data_dir / "shared" / ("ä" * 90) / ("b" * 200)
    long.parent.mkdir(parents=True)
    long.write_bytes(b"far down")
    manifest = back_up(source_of(kept.data_dir), tmp_path / "b")
    with tarfile.open(tmp_path / "b", "r:gz") as archive:
        names = [member.name for member in archive if member.isfile()]
    assert names == ["trunnion-backup", *(entry.name for entry in manifest.files), "manifest.json"]
    restore(tmp_path / "b", tmp_path / "new")
    assert (tmp_path / "new" / long.relative_to(kept.data_dir)).read_bytes() == b"far down"


def test_what_cannot_be_carried_is_named(kept: Bench, tmp_path: Path) -> None:
    folder = kept.data_dir / "instances/one"
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    os.close(os.open(os.fsencode(folder) + b"/\xff", os.O_CREAT | os.O_WRONLY, 0o600))
    manifest = back_up(source_of(kept.data_dir), tmp_path / "b")
    assert sorted(note.name for note in manifest.notes) == [
        "instances/one/\\udcff",
        "instances/one/link",
        "instances/one/pipe",
    ]
    restore(tmp_path / "b", tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new/instances/one").iterdir()) == ["settings.json"]


# -- while others write -------------------------------------------------------------------------------


class Moment:
    """Does something at the n-th time the backup looks whether it is to go on."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        self.left, self.act = number, act

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.act()


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_run_removed_meanwhile_is_whole_or_not_there(kept: Bench, tmp_path: Path, number: int) -> None:
    run = kept.accept(kept.run())
    keep(kept, run, "x1", b"1" * 10)
    keep(kept, run, "x2", b"2" * 10)
    kept.finish(run)
    act = Moment(number + 1, lambda: assert_forgotten(kept, run.id))
    manifest = back_up(source_of(kept.data_dir), tmp_path / "b", check=act)
    assert act.left <= 0
    assert manifest.notes == ()
    done = restore(tmp_path / "b", tmp_path / "new")
    assert done.troubles == ()
    with opened("process", tmp_path / "new") as fresh:
        found = fresh.store.get_run(run.id)
        files = [fresh.store.artifact(name) for name in ("x1", "x2")]
        assert all(file is not None and file[1].exists() for file in files) if found else files == [None, None]
        assert found is not None or not (tmp_path / "new/artifacts" / run.id).exists()


def assert_forgotten(bench: Bench, run_id: str) -> None:
    assert bench.store.forget(run_id)


def test_output_that_grows_is_taken_as_far_as_the_database_knows_it(kept: Bench, tmp_path: Path) -> None:
    run, events = spilled(kept)
    before = (kept.data_dir / "artifacts" / run.id / "output").stat().st_size

    def grow() -> None:
        kept.commit(Batch(appends={run_stream(run.id): [event(run, 6, TEXT, "more" * 1000)]}))

    manifest = back_up(source_of(kept.data_dir), tmp_path / "b", check=Moment(4, grow))
    sizes = {entry.name: entry.size for entry in manifest.files}
    assert sizes[f"artifacts/{run.id}/output"] == before
    restore(tmp_path / "b", tmp_path / "new")
    with opened("process", tmp_path / "new") as fresh:
        assert fresh.store.read_events(run_stream(run.id), 0, 100, 1 << 30) == events
        fresh.commit(Batch(appends={run_stream(run.id): [event(run, 6, TEXT, "other")]}))
        assert fresh.store.read_events(run_stream(run.id), 5, 1)[0].text == "other"


def test_a_file_that_shrinks_meanwhile_is_named_and_the_archive_stays_whole(kept: Bench, tmp_path: Path) -> None:
    large = kept.data_dir / "instances/one/log"
    large.write_bytes(b"x" * (3 << 20))
    armed = [False]

    def shrink() -> None:
        size = (tmp_path / "b.partial").stat().st_size
        if not armed[0] and size and large.stat().st_size:
            names = os.listdir("/proc/self/fd")
            opened_now = {os.path.realpath(f"/proc/self/fd/{name}") for name in names}
            if str(large.resolve()) in opened_now:
                armed[0] = True
                os.truncate(large, 1 << 20)

    manifest = back_up(source_of(kept.data_dir), tmp_path / "b", check=shrink)
    assert armed[0]
    assert [note.name for note in manifest.notes] == ["instances/one/log"]
    verify(tmp_path / "b")


def test_commits_go_on_while_the_database_is_copied(disk: Bench, tmp_path: Path) -> None:
    """Without the reading transaction around the steps the copy starts over at each commit and does not end."""
    for _ in range(300):
        disk.ended(args={"x": os.urandom(4000).hex()})
    before = {entry.id for entry in _all_runs(disk)}
    commits = [0]

    def commit() -> None:
        if commits[0] < 40:
            commits[0] += 1
            disk.ended()

    target = tmp_path.with_name(tmp_path.name + "-out")
    target.mkdir()
    back_up(source_of(disk.data_dir), target / "b", check=commit)
    assert commits[0] > 5
    restore(target / "b", target / "new")
    with opened("process", target / "new") as fresh:
        after = {entry.id for entry in _all_runs(fresh)}
    assert before == after


def _all_runs(bench: Bench) -> list[Run]:
    return bench.store.list_runs(RunFilter(), 10_000, None).items


def test_a_long_reader_does_not_hold_commits_up_when_the_log_is_emptied(disk: Bench, tmp_path: Path) -> None:
    from trunnion.store.database import Database
    from trunnion.store.files import RunFiles
    from trunnion.store.upkeep import READER_WAIT, Upkeep

    disk.ended()
    disk.store.close()
    database = Database(disk.database, RunFiles(disk.data_dir / "artifacts"), "NORMAL")
    database.open()
    upkeep = Upkeep(database, None, lambda: 0)  # type: ignore[arg-type]
    with connect_reader(disk.database) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM runs").fetchone()
        with database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('x', 1)")
        done = threading.Event()

        def empty() -> None:
            upkeep.disk_full()
            assert not upkeep._empty_log()
            upkeep._connection.close()  # type: ignore[union-attr]
            done.set()

        threading.Thread(target=empty).start()
        assert done.wait(READER_WAIT / 1000 + 3), "commits wait as long as somebody reads"
        reader.execute("ROLLBACK")
    reader.close()
    database.close()


# -- its place ----------------------------------------------------------------------------------------


def test_nothing_is_replaced_unasked(kept: Bench, tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.write_text("mine")
    with pytest.raises(Conflict, match="--force"):
        back_up(source_of(kept.data_dir), target)
    assert target.read_text() == "mine"
    back_up(source_of(kept.data_dir), target, force=True)
    verify(target)
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(InvalidArguments, match="no ordinary file"):
        back_up(source_of(kept.data_dir), link, force=True)


def test_a_file_that_comes_meanwhile_is_not_replaced(kept: Bench, tmp_path: Path) -> None:
    target = tmp_path / "b"
    with pytest.raises(Conflict, match="came meanwhile"):
        back_up(source_of(kept.data_dir), target, check=Moment(3, lambda: assert_written(target)))
    assert target.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data"]


def assert_written(path: Path) -> None:
    assert path.write_text("mine")


@pytest.mark.parametrize("place", ["data/b", "data/shared/b", "nowhere/b", "data"])
def test_places_that_cannot_be(kept: Bench, tmp_path: Path, place: str) -> None:
    with pytest.raises(InvalidArguments):
        back_up(source_of(kept.data_dir), tmp_path / place, force=True)


def test_two_backups_do_not_write_one_file(kept: Bench, tmp_path: Path) -> None:
    refused = []

    def second() -> None:
        with pytest.raises(Conflict, match="another backup"):
            back_up(source_of(kept.data_dir), tmp_path / "b")
        refused.append(True)

    back_up(source_of(kept.data_dir), tmp_path / "b", check=Moment(3, second))
    assert refused
    verify(tmp_path / "b")


def test_what_ends_it_early_leaves_nothing(kept: Bench, tmp_path: Path) -> None:
    def end() -> None:
        raise KeyboardInterrupt

    for number in (1, 2, 4):
        with pytest.raises(KeyboardInterrupt):
            back_up(source_of(kept.data_dir), tmp_path / "b", check=Moment(number, end))
        assert [path.name for path in tmp_path.iterdir()] == ["data"]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from trunnion.model.errors import Unavailable
from trunnion.store.backup import Source, back_up, restore
from trunnion.store.connections import connect_reader
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
root, file = Path(sys.argv[3]), Path(sys.argv[4])
try:
    if sys.argv[2] == "restore":
        restore(file, root)
    else:
        connect = lambda: connect_reader(root / "db" / "trunnion.sqlite")
        back_up(Source(root=root, connect=connect, config=None, with_key=False, version="1", now=1), file)
except Unavailable as error:
    print(error.details["reason"], error)
"""


def limited(limit: int, verb: str, root: Path, file: Path) -> str:
    command = [sys.executable, "-c", LIMITED, str(limit), verb, str(root), str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def test_a_full_disk_is_named_and_leaves_nothing(kept: Bench, tmp_path: Path) -> None:
    (kept.data_dir / "shared/noise").write_bytes(os.urandom(3 << 20))
    for limit in (4096, 2 << 20):
        assert limited(limit, "backup", kept.data_dir, tmp_path / "b").startswith("disk_full no backup was made")
        assert [path.name for path in tmp_path.iterdir()] == ["data"]
    back_up(source_of(kept.data_dir), tmp_path / "b")
    assert limited(2 << 20, "restore", tmp_path / "new", tmp_path / "b").startswith("disk_full there is no space")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data"]


def test_a_damaged_database_is_not_backed_up(kept: Bench, tmp_path: Path) -> None:
    kept.store.close()
    flip(kept.database, 4096 * 3 + 3)
    with pytest.raises(Unavailable, match="doctor"):
        back_up(source_of(kept.data_dir), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def flip(path: Path, *places: int) -> None:
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 0xFF
    path.write_bytes(data)


# -- what is refused ----------------------------------------------------------------------------------


def test_tampered_archives_are_refused_whatever_byte_it_was(kept: Bench, tmp_path: Path) -> None:
    file, place = tmp_path / "b", tmp_path / "new"
    back_up(source_of(kept.data_dir), file)
    whole = file.read_bytes()
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    places = {*range(len(HEADER) + 20), *range(len(whole) - 110, len(whole))}
    places |= {chance.randrange(len(whole)) for _ in range(300)}
    for number in sorted(places):
        damaged = bytearray(whole)
        damaged[number] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(InvalidArguments):
            restore(file, place)
    for length in {0, 1, 10, *(chance.randrange(len(whole)) for _ in range(30)), len(whole) - 1}:
        file.write_bytes(whole[:length])
        with pytest.raises(InvalidArguments):
            restore(file, place)
    for more in (b"\0", whole, b"x" * 600):
        file.write_bytes(whole + more)
        with pytest.raises(InvalidArguments):
            restore(file, place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data"]
    file.write_bytes(whole)
    restore(file, place)


def rewritten(file: Path, change: Callable[[Packer, Member, bytes], None]) -> None:
    """The archive anew, its checksums right, each member as ``change`` adds it."""
    with file.open("rb") as source, io.BytesIO() as target:
        packer, archive = Packer(target), Unpacker(source)
        for member in archive:
            change(packer, member, b"".join(archive.pieces()))
        packer.close()
        data = target.getvalue()
    file.write_bytes(data)


def add(packer: Packer, name: str, content: bytes, **changes: object) -> None:
    packer.add(Member(name, len(content), 0o600, 0)._replace(**changes), iter((content,)))  # type: ignore[arg-type]


def with_manifest(change: Callable[[Manifest], Manifest]) -> Callable[[Packer, Member, bytes], None]:
    def put(packer: Packer, member: Member, content: bytes) -> None:
        if member.name == LAST:
            content = msgspec.json.encode(change(msgspec.json.decode(content, type=Manifest)))
        packer.add(member._replace(size=len(content)), iter((content,)))

    return put


def extra(name: str, *, is_folder: bool = False) -> Callable[[Packer, Member, bytes], None]:
    """One more member of that name, on the list of files too."""
    entry = Entry(name, 3, hashlib.sha256(b"new").hexdigest(), 0o600)

    def listed(manifest: Manifest) -> Manifest:
        if is_folder:
            return msgspec.structs.replace(manifest, folders=(*manifest.folders, name))
        return msgspec.structs.replace(manifest, files=(*manifest.files, entry))

    def put(packer: Packer, member: Member, content: bytes) -> None:
        if member.name == LAST:
            if is_folder:
                packer.add(Member(name, 0, 0o700, 0, is_folder=True))
            else:
                add(packer, name, b"new")
        with_manifest(listed)(packer, member, content)

    return put


NAMES = [
    "/etc/passwd", "../out", "shared/../../out", "shared/./x", "shared//x", "./shared/y", "run/host.sock", "host.lock",
    "db/trunnion.sqlite-wal", "db/other", "artifacts", "host_id", "db/trunnion.sqlite", "shared/x/below", "logs/x",
    "shared/" + "n" * 5000, "SECRET.KEY",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:30])
def test_names_that_lead_elsewhere_are_refused(kept: Bench, tmp_path: Path, name: str) -> None:
    back_up(source_of(kept.data_dir), tmp_path / "b")
    rewritten(tmp_path / "b", extra(name))
    with pytest.raises(InvalidArguments, match="cannot be restored"):
        restore(tmp_path / "b", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data"]


@pytest.mark.parametrize("name", ["../out", "db", "shared/x", "instances", "host_id", "elsewhere"])
def test_folders_that_lead_elsewhere_are_refused(kept: Bench, tmp_path: Path, name: str) -> None:
    back_up(source_of(kept.data_dir), tmp_path / "b")
    rewritten(tmp_path / "b", extra(name, is_folder=True))
    with pytest.raises(InvalidArguments, match="cannot be restored"):
        restore(tmp_path / "b", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data"]


def test_an_extra_file_of_a_good_name_is_taken(kept: Bench, tmp_path: Path) -> None:
    """The counterpart: what the tests above change is refused for what it is, not for having been changed."""
    back_up(source_of(kept.data_dir), tmp_path / "b")
    rewritten(tmp_path / "b", extra("shared/z"))
    restore(tmp_path / "b", tmp_path / "new")
    assert (tmp_path / "new/shared/z").read_bytes() == b"new"


def unlisted(packer: Packer, member: Member, content: bytes) -> None:
    if member.name == LAST:
        add(packer, "shared/z", b"new")
    packer.add(member, iter((content,)))


def left_out(packer: Packer, member: Member, content: bytes) -> None:
    if member.name != "shared/x":
        packer.add(member, iter((content,)))


def other_content(packer: Packer, member: Member, content: bytes) -> None:
    content = content[::-1] if member.name == "shared/x" else content
    packer.add(member, iter((content,)))


def without_list(packer: Packer, member: Member, content: bytes) -> None:
    if member.name != LAST:
        packer.add(member, iter((content,)))


def behind_the_list(packer: Packer, member: Member, content: bytes) -> None:
    packer.add(member, iter((content,)))
    if member.name == LAST:
        add(packer, "shared/z", b"new")


@pytest.mark.parametrize("change", [unlisted, left_out, other_content, without_list, behind_the_list])
def test_what_does_not_fit_its_list_is_refused(
    kept: Bench, tmp_path: Path, change: Callable[[Packer, Member, bytes], None]
) -> None:
    back_up(source_of(kept.data_dir), tmp_path / "b")
    rewritten(tmp_path / "b", change)
    with pytest.raises(InvalidArguments, match="cannot be restored"):
        restore(tmp_path / "b", tmp_path / "new")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"S", b"L"])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    file = tmp_path / "b"
    with file.open("wb") as target:
        packer = Packer(target)
        add(packer, "trunnion-backup", first_content())
        head = tarfile.TarInfo("shared/x")
        head.type, head.linkname = kind, "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
        packer._write(head.tobuf(tarfile.USTAR_FORMAT))
        packer.close()
    with pytest.raises(InvalidArguments, match="neither a file nor a folder"):
        verify(file)


def test_newer_forms_and_newer_data_are_refused_by_name(kept: Bench, tmp_path: Path) -> None:
    file = tmp_path / "b"
    back_up(source_of(kept.data_dir), file)
    whole = file.read_bytes()
    rewritten(file, with_manifest(lambda manifest: msgspec.structs.replace(manifest, data_version=99)))
    with pytest.raises(IncompatibleData, match="99"):
        restore(file, tmp_path / "new")

    def newer(packer: Packer, member: Member, content: bytes) -> None:
        content = first_content(2) if member.name == "trunnion-backup" else content
        packer.add(member._replace(size=len(content)), iter((content,)))

    file.write_bytes(whole)
    rewritten(file, newer)
    with pytest.raises(IncompatibleData, match="form 2"):
        restore(file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_bomb_is_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    """A few kilobytes that would be terabytes: its list says how much, and that is compared with what is free."""
    size, file = 64 << 30, tmp_path / "b"
    head = tarfile.TarInfo("shared/x")
    head.size = size
    with file.open("wb") as target:
        packer = Packer(target)
        add(packer, "trunnion-backup", first_content())
        packer._write(head.tobuf(tarfile.PAX_FORMAT))
        packer._write(bytes(1 << 20))
        packer.close()
    with pytest.raises(InvalidArguments, match="too early"):
        restore(file, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("content", [b"", b"hello", gzip.compress(b"hello"), HEADER + zlib.compress(b"x")])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(InvalidArguments, match="cannot be restored"):
        restore(tmp_path / "b", tmp_path / "new")
    with pytest.raises(Unavailable, match="cannot be read"):
        verify(tmp_path / "missing")


def test_extended_headers_have_an_end(tmp_path: Path) -> None:
    for records in (b"x" * (1 << 20), b"-3 path=a\n", b"11 path=a\n", b"9 uid=77\n", b"11 size=-1\n", b"0 \n"):
        file = tmp_path / "b"
        head = tarfile.TarInfo("pax")
        head.type, head.size = tarfile.XHDTYPE, len(records)
        with file.open("wb") as target:
            packer = Packer(target)
            packer._write(head.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512))
            packer._write(tarfile.TarInfo("shared/x").tobuf(tarfile.USTAR_FORMAT))
            packer.close()
        with pytest.raises(InvalidArguments, match="header"):
            verify(file)


# -- putting in place ---------------------------------------------------------------------------------


def test_nothing_that_is_there_is_touched(kept: Bench, tmp_path: Path) -> None:
    back_up(source_of(kept.data_dir), tmp_path / "b")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/mine").write_text("x")
    with pytest.raises(Conflict, match="not empty"):
        restore(tmp_path / "b", tmp_path / "new")
    done = restore(tmp_path / "b", tmp_path / "new", aside=True)
    assert done.aside is not None
    assert (done.aside / "mine").read_text() == "x"
    assert (tmp_path / "new/host_id").exists()
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "b", tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    for place in ("file", "nowhere/new"):
        with pytest.raises(InvalidArguments):
            restore(tmp_path / "b", tmp_path / place)


KILLED = """
import sys
from pathlib import Path
from trunnion.store.backup import restore
print("ready", flush=True)
restore(Path(sys.argv[1]), Path(sys.argv[2]), aside=True)
print("done", flush=True)
"""


def test_killed_at_any_moment_nothing_is_half(kept: Bench, tmp_path: Path) -> None:
    file, place = tmp_path / "b", tmp_path / "new"
    for number in range(200):
        (kept.data_dir / f"shared/{number}").write_bytes(os.urandom(20_000))
    back_up(source_of(kept.data_dir), file)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    staging = tmp_path / "new.restoring/shared"
    interrupted = 0
    for wanted in (1, 2, chance.randrange(200), chance.randrange(200)):
        command = [sys.executable, "-c", KILLED, str(file), str(place)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            until(lambda wanted=wanted, child=child: child.poll() is not None or count(staging) >= wanted)  # type: ignore[misc]
            child.kill()
        interrupted += (tmp_path / "new.restoring").exists()
        assert not place.exists() or list(examine(place)) == []
    assert interrupted, "no kill came in time"
    restore(file, place, aside=True)
    assert list(examine(place)) == []
    assert not (tmp_path / "new.restoring").exists()


def count(folder: Path) -> int:
    try:
        return len(os.listdir(folder))
    except FileNotFoundError:
        return 0


def test_two_restores_do_not_use_one_place(kept: Bench, tmp_path: Path) -> None:
    back_up(source_of(kept.data_dir), tmp_path / "b")
    staging = tmp_path / "new.restoring"
    staging.mkdir()
    holder = "import fcntl, os, sys; f = os.open(sys.argv[1], 0); fcntl.flock(f, 2); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(staging)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Conflict, match="another restore"):
            restore(tmp_path / "b", tmp_path / "new")
        child.communicate("\n")
    (staging / "left").write_text("of a killed one")
    restore(tmp_path / "b", tmp_path / "new")
    assert not (tmp_path / "new/left").exists()


def test_data_of_an_older_version_is_backed_up_as_it_is(version1: Path, tmp_path: Path) -> None:
    target = tmp_path.parent / (tmp_path.name + "-out")
    target.mkdir()
    manifest = back_up(source_of(version1), target / "b")
    assert manifest.data_version == 1
    restore(target / "b", target / "new")
    with sqlite3.connect(database_path(target / "new")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def test_errors_are_ours(tmp_path: Path) -> None:
    with pytest.raises(TrunnionError):
        restore(tmp_path / "missing", tmp_path / "new")
