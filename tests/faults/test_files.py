"""Files under failure: a host killed in the middle of an upload, a full disk, links that move."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from files_child import CHUNK, embedded

from trunnion.kernel.file_arguments import _Unfit, real_path
from trunnion.model.errors import Conflict

CHILD = Path(__file__).with_name("files_child.py")


def started(what: str, place: Path, *before: str) -> subprocess.Popen[str]:
    command = [*before, sys.executable, str(CHILD), what, str(place)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def private_mounts() -> list[str] | None:
    """How to get a mount namespace of one's own here, None if there is no way."""
    for flags in (["-m"], ["-Urm"]):
        command = ["unshare", *flags, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if shutil.which("unshare") and subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return ["unshare", *flags]
    return None


@pytest.mark.parametrize("pieces", [1, 7, 23])
def test_an_upload_goes_on_after_kill_9_without_a_byte_lost_or_doubled(tmp_path: Path, pieces: int) -> None:
    """Defence: the file is the truth; every piece that was acknowledged is in it, in its place."""
    child = started("bring", tmp_path / "data")
    assert child.stdout is not None
    upload_id = child.stdout.readline().strip()
    acknowledged = [int(child.stdout.readline()) for _ in range(pieces)][-1]
    child.kill()
    child.communicate()

    async def resume() -> None:
        async with embedded(tmp_path / "data") as host:
            door, caller = host.door("system:app"), host.caller
            offset = (await door.upload(caller, upload_id)).offset
            assert offset >= acknowledged
            with pytest.raises(Conflict) as elsewhere:
                await door.write_upload(caller, upload_id, offset + 1, b"x")
            assert elsewhere.value.details == {"offset": offset}
            whole, rest = divmod(offset, CHUNK)
            sent = b"".join(bytes([n % 256]) * CHUNK for n in range(whole + 1))
            await door.write_upload(caller, upload_id, offset, sent[whole * CHUNK + rest :])
            await door.finish_upload(caller, upload_id, hashlib.sha256(sent).hexdigest())

    asyncio.run(resume())


def test_a_full_disk_is_named_and_nothing_stays_behind(tmp_path: Path) -> None:
    """On a disk of 16 MiB; where no disk can be made, with a limit on the size of files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    own = private_mounts()
    child = started("disk" if own is not None else "limit", disk, *(own or []))
    _, error = child.communicate(timeout=60)
    assert child.returncode == 0, error


def test_a_link_that_moves_all_the_time_never_leads_out(tmp_path: Path) -> None:
    """Defence: what is judged is what is handed over; the name that was given is not looked at again."""
    fence, outside = tmp_path / "ab", tmp_path / "abc"
    for folder in (fence, outside):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    link, stop = fence / "link", threading.Event()
    link.symlink_to("file")

    def swaps() -> None:
        while not stop.is_set():
            for target in ("../abc/file", "file"):
                new = fence / "new"
                new.symlink_to(target)
                new.replace(link)

    swapper = threading.Thread(target=swaps)
    swapper.start()
    refused = passed = 0
    try:
        while not (refused >= 50 and passed >= 50):
            try:
                found = real_path(str(link), [str(fence)])
            except _Unfit:
                refused += 1
            else:
                assert found == str(fence / "file")
                assert Path(found).read_text() == "ab"
                passed += 1
            os.sched_yield()
    finally:
        stop.set()
        swapper.join()
