"""Uploads: pieces in order, one owner, bounded, resumed after anything, gone when nobody needs them."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from kernel_kit import ANN, FakeClock, Rig, Valve, cmd, rig, until

from trunnion.model.contributions import Allow, Deny, Gate
from trunnion.model.errors import Busy, Conflict, Forbidden, InvalidArguments, NotFound, TrunnionError, Unavailable
from trunnion.model.runs import Caller

BEN = Caller("ben", "cli", "operator")
EVE = Caller("eve", "cli", "viewer")
SHA_OF_ABCDEF = hashlib.sha256(b"abcdef").hexdigest()
DAY = 86_400


def on_disk(rig: Rig) -> list[str]:
    folder = rig.host.data.root / "uploads"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


async def brought(rig: Rig, content: bytes = b"abcdef", caller: Caller = BEN) -> str:
    info = await rig.door.open_upload(caller, "a.txt")
    await rig.door.write_upload(caller, info.id, 0, content)
    return (await rig.door.finish_upload(caller, info.id)).id


def read(file: Path) -> str:
    return file.read_text()


async def test_pieces_become_a_file_that_only_its_owner_and_an_admin_see(start) -> None:
    """Defence: ``Uploads.found``; what is another's is answered like what is not there."""
    async with start() as rig:
        info = await rig.door.open_upload(BEN, "../a.txt", size=6, media_type="text/plain")
        assert (info.name, info.finished, info.offset) == (".._a.txt", False, 0)
        await rig.door.write_upload(BEN, info.id, 0, b"abc")
        assert (await rig.door.write_upload(BEN, info.id, 3, b"def")).offset == 6
        done = await rig.door.finish_upload(BEN, info.id, SHA_OF_ABCDEF.upper())
        assert (done.sha256, done.finished, done.handle) == (SHA_OF_ABCDEF, True, f"upload:{info.id}")
        path = rig.host.data.root / "uploads" / info.id
        assert path.read_bytes() == b"abcdef"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert await rig.door.upload(ANN, info.id) == done
        other = Caller("zoe", "cli", "operator")
        for ask in (
            rig.door.upload(other, info.id),
            rig.door.write_upload(other, info.id, 6, b"g"),
            rig.door.finish_upload(other, info.id),
            rig.door.drop_upload(other, info.id),
        ):
            with pytest.raises(NotFound, match=f"there is no upload '{info.id}'"):
                await ask
        with pytest.raises(Forbidden):
            await rig.door.open_upload(EVE, "x")


async def test_it_goes_on_only_where_it_is(start) -> None:
    async with start() as rig:
        info = await rig.door.open_upload(BEN, "a", size=6)
        await rig.door.write_upload(BEN, info.id, 0, b"abc")
        for wrong in (0, 2, 4, -1):
            with pytest.raises(Conflict) as elsewhere:
                await rig.door.write_upload(BEN, info.id, wrong, b"x")
            assert elsewhere.value.details == {"offset": 3}
        with pytest.raises(Conflict, match="3 of 6 bytes"):
            await rig.door.finish_upload(BEN, info.id)
        with pytest.raises(InvalidArguments, match="announced with 6 bytes"):
            await rig.door.write_upload(BEN, info.id, 3, b"defg")
        await rig.door.write_upload(BEN, info.id, 3, b"def")
        await rig.door.finish_upload(BEN, info.id)
        with pytest.raises(Conflict, match="finished"):
            await rig.door.write_upload(BEN, info.id, 6, b"")
        assert (await rig.door.finish_upload(BEN, info.id)).sha256 == SHA_OF_ABCDEF


async def test_of_two_that_write_at_once_one_is_told_to_go_on_elsewhere(start) -> None:
    """Defence: each upload has its turn (``Uploads._turn``)."""
    async with start() as rig:
        info = await rig.door.open_upload(BEN, "a")
        both = [rig.door.write_upload(BEN, info.id, 0, piece * 1000) for piece in (b"a", b"b")]
        first, second = await asyncio.gather(*both, return_exceptions=True)
        assert {type(first), type(second)} == {type(info), Conflict}
        content = (rig.host.data.root / "uploads" / info.id).read_bytes()
        assert content in (b"a" * 1000, b"b" * 1000)


async def test_a_writer_that_goes_away_leaves_its_piece_whole(start, monkeypatch) -> None:
    """Defence: ``Uploads._finished`` shields; the next writer must not meet a file that still grows."""
    async with start() as rig:
        info = await rig.door.open_upload(BEN, "a")
        files = rig.kernel.files.uploads.files
        append, begun, go = files.append, asyncio.Event(), threading.Event()

        def slow(*args: object) -> None:
            rig.kernel.loop.call_soon_threadsafe(begun.set)
            assert go.wait(20)
            append(*args)

        monkeypatch.setattr(files, "append", slow)
        writing = asyncio.create_task(rig.door.write_upload(BEN, info.id, 0, b"abc"))
        await begun.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        go.set()
        assert (await rig.door.write_upload(BEN, info.id, 3, b"def")).offset == 6


async def test_a_wrong_digest_drops_it(start) -> None:
    async with start() as rig:
        info = await rig.door.open_upload(BEN, "a")
        await rig.door.write_upload(BEN, info.id, 0, b"abc")
        with pytest.raises(InvalidArguments) as wrong:
            await rig.door.finish_upload(BEN, info.id, SHA_OF_ABCDEF)
        assert wrong.value.details == {"sha256": hashlib.sha256(b"abc").hexdigest()}
        with pytest.raises(NotFound):
            await rig.door.upload(BEN, info.id)
        assert on_disk(rig) == []


async def test_a_full_disk_takes_nothing_of_a_piece(start, monkeypatch) -> None:
    """Defence: ``UploadFiles.append`` cuts back, and the quota is given back."""
    async with start(settings={"bytes.max_upload": 6}) as rig:
        info = await rig.door.open_upload(BEN, "a")
        pwrite = os.pwrite

        def full(descriptor: int, data: bytes, offset: int) -> int:
            if offset:
                raise OSError(errno.ENOSPC, "No space left on device")
            return pwrite(descriptor, bytes(data[:2]), offset)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(Unavailable, match="No space left"):
                await rig.door.write_upload(BEN, info.id, 0, b"abcdef")
        assert (rig.host.data.root / "uploads" / info.id).stat().st_size == 0
        assert (await rig.door.write_upload(BEN, info.id, 0, b"abcdef")).offset == 6


async def test_every_limit_is_named(start) -> None:
    limits = {
        "bytes.max_upload": 10, "bytes.max_uploads": 3, "bytes.max_principal_uploads": 15, "bytes.max_all_uploads": 20,
    }  # fmt: skip

    async def refused(error: type[TrunnionError], setting: str, **call: object) -> None:
        with pytest.raises(error) as limit:
            await rig.door.open_upload(call.pop("caller", BEN), "a", **call)
        assert limit.value.details["setting"] == f"bytes.{setting}"

    async with start(settings=limits) as rig:
        await refused(InvalidArguments, "max_upload", size=11)
        growing = await rig.door.open_upload(BEN, "grows")
        with pytest.raises(InvalidArguments, match="max_upload"):
            await rig.door.write_upload(BEN, growing.id, 0, b"x" * 11)
        announced = await rig.door.open_upload(BEN, "b", size=10)
        await refused(Busy, "max_principal_uploads", size=6)
        with pytest.raises(Busy, match="max_principal_uploads"):
            await rig.door.write_upload(BEN, growing.id, 0, b"x" * 6)
        await rig.door.write_upload(BEN, growing.id, 0, b"x" * 5)
        await refused(Busy, "max_all_uploads", size=6, caller=ANN)
        third = await rig.door.open_upload(BEN, "c", size=0)
        await refused(Busy, "max_uploads", size=0)
        for info in (announced, third):
            await rig.door.drop_upload(BEN, info.id)
        await rig.door.open_upload(BEN, "room again", size=10)


async def test_it_goes_on_where_its_file_ends_after_a_restart(start, tmp_path: Path) -> None:
    """Defence: ``UploadUpkeep.take_up`` believes the file, not the record; what has lost its other half goes."""
    async with start(durability="process") as rig:
        info = await rig.door.open_upload(BEN, "a", size=6)
        await rig.door.write_upload(BEN, info.id, 0, b"abc")
        done, lost = await brought(rig), await brought(rig)
        image = rig.disk_image()
    (image / "uploads" / "left").write_bytes(b"no record")
    (image / "uploads" / lost).unlink()
    async with rig_on(tmp_path, image) as after:
        assert on_disk(after) == sorted([info.id, done])
        assert (await after.door.upload(BEN, info.id)).offset == 3
        assert (await after.door.upload(BEN, done)).sha256 == SHA_OF_ABCDEF
        with pytest.raises(NotFound):
            await after.door.upload(BEN, lost)
        assert "uploads.lost" in await after.codes()
        await after.door.write_upload(BEN, info.id, 3, b"def")
        assert (await after.door.finish_upload(BEN, info.id)).sha256 == SHA_OF_ABCDEF


def rig_on(root: Path, data: Path, **options: object):
    return rig(root, data=data, durability="process", **options)


async def test_it_expires_unless_a_run_that_names_it_is_kept(start) -> None:
    """Defence: ``Uploads.claim`` before the run is accepted; ``UploadUpkeep.sweep`` asks which runs are kept."""
    clock = FakeClock()
    async with start(cmd(read), clock=clock) as rig:
        unused, used, begun = await brought(rig), await brought(rig), await rig.door.open_upload(BEN, "half")
        run = await rig.run("t.read", BEN, file=f"upload:{used}")
        assert run.result == "abcdef"
        assert (await rig.door.upload(BEN, used)).runs == (run.id,)
        await rig.kernel.files.upkeep.sweep()
        assert on_disk(rig) == sorted([unused, used, begun.id])
        clock.advance(DAY + 1)
        await rig.kernel.files.upkeep.sweep()
        assert on_disk(rig) == [used]
        await rig.run("runs.forget", run_id=run.id)
        assert on_disk(rig) == []
        with pytest.raises(NotFound):
            await rig.door.upload(BEN, used)


async def test_a_run_on_its_way_to_the_record_keeps_its_upload(start) -> None:
    """Defence: ``Uploads.arriving``: a sweep while the gates think must not take the file."""
    sweep = []

    async def sweeps(batch: list[object]) -> list[Allow]:
        await sweep[0]()
        return [Allow() for _ in batch]

    gate = Gate(name="g", admit=sweeps, covers=frozenset({"commands"}))
    async with start(cmd(read), plugin={"gates": [gate]}) as rig:
        sweep.append(rig.kernel.files.upkeep.sweep)
        used = await brought(rig)
        assert (await rig.run("t.read", BEN, file=f"upload:{used}")).result == "abcdef"
        assert on_disk(rig) == [used]


@pytest.mark.parametrize("where", ["gate", "store"])
async def test_a_run_that_comes_to_nothing_leaves_no_claim(start, where: str) -> None:
    """Defence: ``Uploads.serving`` releases; the next sweep would take the upload for one of a removed run."""

    async def deny(batch: list[object]) -> list[Deny]:
        return [Deny("no") for _ in batch]

    gates = [Gate(name="g", admit=deny, covers=frozenset({"commands"}))] if where == "gate" else []
    async with start(cmd(read), plugin={"gates": gates}) as rig:
        used = await brought(rig)
        valve = Valve(rig.kernel.store)
        if where == "store":
            valve.close(lambda batch: batch.accepts)
        asking = asyncio.create_task(rig.submit("t.read", BEN, file=f"upload:{used}"))
        if where == "store":
            await until(lambda: valve.waiting)
            assert rig.kernel.files.uploads.arriving
            valve.fail(RuntimeError("the disk is gone"))
        with pytest.raises(TrunnionError):
            await asking
        await until(lambda: rig.kernel.files.uploads.held[used].runs == ())
        assert rig.kernel.files.uploads.arriving == set()
        await rig.kernel.files.upkeep.sweep()
        assert on_disk(rig) == [used]


async def test_pruning_takes_uploads_too(start) -> None:
    async with start(cmd(read)) as rig:
        used = await brought(rig)
        await rig.run("t.read", BEN, file=f"upload:{used}")
        await rig.run("runs.prune", keep=0)
        await until(lambda: on_disk(rig) == [])


async def test_a_local_file_is_taken_by_command(start, tmp_path: Path) -> None:
    (tmp_path / "local.txt").write_bytes(b"abcdef")
    async with start(cmd(read)) as rig:
        run = await rig.run("uploads.add", file=str(tmp_path / "local.txt"))
        assert (run.result["name"], run.result["sha256"]) == ("local.txt", SHA_OF_ABCDEF)
        assert (await rig.run("t.read", file=run.result["handle"])).result == "abcdef"
        listed = await rig.door.query(ANN, "uploads.list", {})
        assert [item["handle"] for item in listed["items"]] == [run.result["handle"]]
        await rig.run("uploads.drop", upload_id=run.result["id"])
        assert on_disk(rig) == []


class AnyOrder(RuleBasedStateMachine):
    """Uploads against a model that is a dictionary of bytes, over restarts and expiry."""

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.model: dict[str, bytes] = {}
        self.expires: dict[str, float] = {}
        self.finished: set[str] = set()
        self._up()

    def _up(self) -> None:
        root = Path(self.root.name)
        self.context = rig(root, durability="process", clock=self.clock, settings={"bytes.max_upload": 40})
        self.rig = self.loop.run_until_complete(self.context.__aenter__())

    def _down(self) -> None:
        self.loop.run_until_complete(self.context.__aexit__(None, None, None))

    def do(self, work: object) -> object:
        return self.loop.run_until_complete(work)

    def one(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.model)))

    @rule()
    def begins(self) -> None:
        upload_id = self.do(self.rig.door.open_upload(BEN, "a")).id
        self.model[upload_id], self.expires[upload_id] = b"", self.clock.passed + DAY

    @precondition(lambda self: self.model)
    @rule(data=st.data(), piece=st.binary(max_size=25), off=st.sampled_from([0, 0, 0, -1, 1]))
    def writes(self, data: st.DataObject, piece: bytes, off: int) -> None:
        upload_id = self.one(data)
        content = self.model[upload_id]
        write = self.rig.door.write_upload(BEN, upload_id, len(content) + off, piece)
        if off or upload_id in self.finished:
            with pytest.raises(Conflict):
                self.do(write)
        elif len(content) + len(piece) > 40:
            with pytest.raises(InvalidArguments):
                self.do(write)
        else:
            assert self.do(write).offset == len(content) + len(piece)
            self.model[upload_id] = content + piece

    @precondition(lambda self: self.model)
    @rule(data=st.data(), right=st.sampled_from([True, True, None, False]))
    def finishes(self, data: st.DataObject, right: bool | None) -> None:
        upload_id = self.one(data)
        digest = hashlib.sha256(self.model[upload_id]).hexdigest()
        finish = self.rig.door.finish_upload(BEN, upload_id, {True: digest, False: "0" * 64, None: None}[right])
        if right is False:
            with pytest.raises(InvalidArguments):
                self.do(finish)
            self._forget(upload_id)
            return
        assert self.do(finish).sha256 == digest
        if upload_id not in self.finished:
            self.expires[upload_id] = self.clock.passed + DAY
        self.finished.add(upload_id)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def drops(self, data: st.DataObject) -> None:
        upload_id = self.one(data)
        self.do(self.rig.door.drop_upload(BEN, upload_id))
        self._forget(upload_id)

    @rule(hours=st.integers(1, 20))
    def time_passes(self, hours: int) -> None:
        self.clock.advance(hours * 3600)
        self.do(self.rig.kernel.files.upkeep.sweep())
        for upload_id, expires in list(self.expires.items()):
            if expires <= self.clock.passed:
                self._forget(upload_id)

    @rule()
    def restarts(self) -> None:
        self._down()
        self._up()

    def _forget(self, upload_id: str) -> None:
        del self.model[upload_id], self.expires[upload_id]
        self.finished.discard(upload_id)

    def teardown(self) -> None:
        held = self.rig.kernel.files.uploads.held
        folder = Path(self.root.name) / "data" / "uploads"
        files = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
        assert files == self.model
        assert {i: info.offset for i, info in held.items()} == {i: len(c) for i, c in self.model.items()}
        assert {i for i, info in held.items() if info.finished} == self.finished
        self._down()
        self.loop.close()
        self.root.cleanup()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck)
)
