"""Files kept with runs: written in pieces under caps, read as ranges by whoever may see the run."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_kit import ANN, Rig, cmd, until

from trunnion.kernel.context import Context
from trunnion.kernel.file_ranges import PIECE, end_of_range
from trunnion.model.errors import InvalidArguments, NotFound, Unavailable
from trunnion.model.file_names import display_name
from trunnion.model.runs import Caller

BEN = Caller("ben", "cli", "operator")
CONTENT = bytes(range(256)) * 4096


def kept(rig: Rig, artifact_id: str) -> Path:
    found = rig.kernel.store.artifact(artifact_id)
    assert found is not None
    return found[1]


def left_behind(rig: Rig) -> list[Path]:
    return [path for path in (rig.host.data.root / "artifacts").rglob("*") if path.is_file()]


async def keep(ctx: Context) -> str:
    return (await ctx.artifact("big.bin", CONTENT)).id


async def test_a_file_is_kept_from_bytes_paths_files_and_pieces(start, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)

    async def pieces() -> object:
        for at in range(0, len(CONTENT), 100_000):
            yield CONTENT[at : at + 100_000]

    async def all_ways(ctx: Context) -> list[str]:
        ways = [CONTENT, source, io.BytesIO(CONTENT), [CONTENT[:5], CONTENT[5:]], pieces()]
        return [(await ctx.artifact(f"way {n}", way)).sha256 for n, way in enumerate(ways)]

    async with start(cmd(all_ways)) as rig:
        run = await rig.run("t.all_ways")
        assert run.result == [hashlib.sha256(CONTENT).hexdigest()] * 5


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, None), (0, 0), (5, 10), (PIECE - 1, 2), (len(CONTENT), None), (100, 1 << 40), (len(CONTENT) - 1, 9)],
)
async def test_a_range_is_what_it_says_in_pieces_of_bounded_size(start, offset: int, length: int | None) -> None:
    async with start(cmd(keep)) as rig:
        artifact = (await rig.run("t.keep")).result
        pieces = [piece async for piece in rig.door.read_artifact(ANN, artifact, offset, length)]
        assert b"".join(pieces) == CONTENT[offset:][:length]
        assert all(0 < len(piece) <= PIECE for piece in pieces)


@pytest.mark.parametrize(("offset", "length"), [(-1, None), (0, -1), (len(CONTENT) + 1, None)])
async def test_what_is_no_range_is_refused_with_the_size(start, offset: int, length: int | None) -> None:
    async with start(cmd(keep)) as rig:
        artifact = (await rig.run("t.keep")).result
        with pytest.raises(InvalidArguments) as refused:
            await anext(rig.door.read_artifact(ANN, artifact, offset, length))
        assert refused.value.details == {"size": len(CONTENT)}


@given(st.integers(0, 50), st.none() | st.integers(0, 60), st.integers(0, 50))
def test_the_end_of_a_range_is_that_of_a_slice(offset: int, length: int | None, size: int) -> None:
    if offset > size:
        with pytest.raises(InvalidArguments):
            end_of_range(offset, length, size, "it")
    else:
        stop = None if length is None else offset + length
        assert end_of_range(offset, length, size, "it") - offset == len(range(size)[offset:stop])


async def test_an_artifact_is_found_and_read_only_by_who_may_see_its_run(start) -> None:
    """Defence: ``Artifacts._found`` asks for the run; what is not there is answered in the same words."""
    async with start(cmd(keep)) as rig:
        artifact = (await rig.run("t.keep")).result
        assert (await rig.door.artifact(ANN, artifact)).size == len(CONTENT)
        for ask in (rig.door.artifact(BEN, artifact), anext(rig.door.read_artifact(BEN, artifact))):
            with pytest.raises(NotFound) as hidden:
                await ask
            assert hidden.value.message == f"there is no artifact {artifact!r}"
        with pytest.raises(NotFound, match="there is no artifact 'nothing'"):
            await rig.door.artifact(ANN, "nothing")


async def test_access_that_is_lost_ends_the_reading(start, monkeypatch) -> None:
    """Defence: ``read_range`` asks before each piece."""
    async with start(cmd(keep)) as rig:
        artifact = (await rig.run("t.keep")).result
        reading = rig.door.read_artifact(ANN, artifact)
        await anext(reading)
        monkeypatch.setattr(rig.kernel.policy, "may_see_run", lambda *_: False)
        with pytest.raises(NotFound):
            await anext(reading)


async def test_a_file_that_vanished_or_was_cut_short_is_named(start) -> None:
    """Defence: ``_opened`` and the empty read of ``_piece``; without it a reader would take half for the whole."""
    async with start(cmd(keep)) as rig:
        artifact = (await rig.run("t.keep")).result
        os.truncate(kept(rig, artifact), PIECE + 1)
        with pytest.raises(Unavailable, match=f"ends at byte {PIECE + 1}: its file was cut short"):
            [piece async for piece in rig.door.read_artifact(ANN, artifact)]
        kept(rig, artifact).unlink()
        with pytest.raises(Unavailable, match="its file is gone from the disk"):
            await anext(rig.door.read_artifact(ANN, artifact))


async def test_a_digest_is_checked_on_request(start) -> None:
    async with start(cmd(keep)) as rig:
        artifact = (await rig.run("t.keep")).result
        assert (await rig.door.query(ANN, "artifacts.verify", {"artifact_id": artifact}))["ok"] is True
        with kept(rig, artifact).open("r+b") as file:
            file.write(b"!")
        assert (await rig.door.query(ANN, "artifacts.verify", {"artifact_id": artifact}))["ok"] is False


@pytest.mark.parametrize(("cap", "setting"), [(60_000, "max_artifact"), (10**6, "max_run_artifacts")])
async def test_a_cap_passed_in_the_middle_leaves_nothing_behind(start, cap: int, setting: str) -> None:
    """Defence: ``NewFile._reserve`` counts before it writes, ``keep`` abandons what failed."""

    async def floods(ctx: Context) -> None:
        async def pieces() -> object:
            for _ in range(100):
                yield b"x" * 5_000

        await ctx.artifact("flood", pieces())

    limits = {"bytes.max_artifact": cap, "bytes.max_run_artifacts": 70_000}
    async with start(cmd(floods), settings=limits) as rig:
        run = await rig.run("t.floods")
        assert (run.status, run.error.code, run.error.details["setting"]) == (
            "failed", "invalid_arguments", f"bytes.{setting}",
        )  # fmt: skip
        assert left_behind(rig) == []
        assert rig.kernel.store.artifacts_of(run.id) == []


async def test_what_failed_no_longer_counts_against_the_run(start) -> None:
    """Defence: ``NewFile.abandon`` gives back."""

    async def tries(ctx: Context) -> int:
        for _ in range(3):
            with pytest.raises(InvalidArguments):
                await ctx.artifact("too large", [b"x" * 600, b"x" * 600])
        return (await ctx.artifact("fits", b"x" * 1000)).size

    async with start(cmd(tries), settings={"bytes.max_run_artifacts": 1000}) as rig:
        assert (await rig.run("t.tries")).result == 1000


async def test_a_handler_that_is_cancelled_leaves_no_half_file(start) -> None:
    """Defence: ``keep`` abandons on cancellation too."""
    begun = asyncio.Event()

    async def stuck(ctx: Context) -> None:
        async def pieces() -> object:
            yield b"first"
            begun.set()
            await asyncio.Event().wait()

        await ctx.artifact("never", pieces())

    async with start(cmd(stuck)) as rig:
        run = await rig.submit("t.stuck")
        await begun.wait()
        assert left_behind(rig) != []
        await rig.door.cancel(ANN, run.id)
        assert (await rig.ended(run)).status == "cancelled"
        await until(lambda: left_behind(rig) == [])


async def test_a_pipe_cannot_be_kept(start, tmp_path: Path) -> None:
    """Defence: ``_opened`` opens without waiting and looks at what it got."""
    os.mkfifo(tmp_path / "pipe")

    async def pipes(ctx: Context) -> None:
        await ctx.artifact("pipe", tmp_path / "pipe")

    async with start(cmd(pipes)) as rig:
        assert "is not a regular file" in (await rig.run("t.pipes")).error.message


@given(st.text(max_size=300))
def test_a_name_is_text_and_nothing_else(text: str) -> None:
    name = display_name(text)
    assert 0 < len(name) <= 200
    assert not set(name) & set('/\\:"<>|*?')
    assert name.strip("._")
    assert all(unicodedata.category(char)[0] != "C" for char in name)
    name.encode()
    assert display_name(name) == name


async def test_names_are_cleaned_where_they_are_kept(start) -> None:
    async def names(ctx: Context) -> list[str]:
        return [(await ctx.artifact(name, b"")).name for name in ("../../etc/passwd", "a\x1b[31m\nb", "..", "ok.txt")]

    async with start(cmd(names)) as rig:
        assert (await rig.run("t.names")).result == [".._.._etc_passwd", "a_[31m_b", "file", "ok.txt"]


async def test_a_path_is_told_to_local_callers_only(start) -> None:
    async with start(cmd(keep)) as rig:
        artifact = (await rig.run("t.keep")).result
        told = await rig.door.query(ANN, "artifacts.path", {"artifact_id": artifact})
        assert Path(told["path"]).read_bytes() == CONTENT
        with pytest.raises(NotFound):
            await rig.host.door("web").query(Caller("ann", "web", "admin"), "artifacts.path", {"artifact_id": artifact})


async def test_removing_a_run_takes_its_files(start) -> None:
    async with start(cmd(keep)) as rig:
        run = await rig.run("t.keep")
        assert len(left_behind(rig)) == 1
        await rig.run("runs.forget", run_id=run.id)
        assert left_behind(rig) == []
        with pytest.raises(NotFound):
            await rig.door.artifact(ANN, run.result)
