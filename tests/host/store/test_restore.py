"""Restoring: what is refused, and that the place has the old, the new or nothing, and never a part."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from backup_kit import source_of
from store_kit import Bench, until

from trunnion.model.errors import Conflict, IncompatibleData, InvalidArguments, Unavailable
from trunnion.store.backup import Manifest, back_up, restore, verify
from trunnion.store.backup.manifest import LAST, Entry, first_content
from trunnion.store.backup.packing import HEADER, Member, Packer, Unpacker
from trunnion.store.check import examine

MODULE = sys.modules["trunnion.store.backup.restore"]
"""The package has the function under the module's name."""


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
    """A few kilobytes that claim to be 64 GiB: all of it is read before the first byte is written."""
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


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", gzip.compress(b"hello"), HEADER + zlib.compress(b"x")],
    ids=["nothing", "a text", "a packed text", "the end missing"],
)
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
        return sum(1 for _ in folder.iterdir())
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


def test_what_does_not_fit_is_not_begun(kept: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    back_up(source_of(kept.data_dir), tmp_path / "b")
    monkeypatch.setattr(MODULE, "SPARE", 1 << 60)
    with pytest.raises(Unavailable, match="nothing was restored") as refused:
        restore(tmp_path / "b", tmp_path / "new")
    assert refused.value.details["reason"] == "disk_full"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data"]


def test_another_file_after_it_was_verified_is_refused(
    kept: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(source_of(kept.data_dir), tmp_path / "b")
    (kept.data_dir / "shared/x").write_bytes(b"longer than it was before")
    back_up(source_of(kept.data_dir), tmp_path / "other")
    monkeypatch.setattr(MODULE, "_judge_space", lambda *_: (tmp_path / "other").replace(tmp_path / "b"))
    with pytest.raises(InvalidArguments, match="changed while it was read"):
        restore(tmp_path / "b", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data"]


def test_what_was_moved_aside_comes_back_when_the_new_cannot_take_its_place(
    kept: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(source_of(kept.data_dir), tmp_path / "b")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/mine").write_text("x")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "new.restoring":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(Unavailable, match="nothing was restored"):
        restore(tmp_path / "b", tmp_path / "new", aside=True)
    assert (tmp_path / "new/mine").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data", "new"]
