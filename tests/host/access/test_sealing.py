"""Sealing: what is at rest opens with its own key, under its own name, or is refused by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion.access.sealing import Sealer
from trunnion.model.errors import InvalidConfig, TrunnionError, Unavailable


def key_in(folder: Path) -> Path:
    return folder / "secret.key"


@given(st.text(max_size=40), st.binary(max_size=200))
def test_what_is_sealed_opens(owner: str, value: bytes) -> None:
    sealer = Sealer(None)
    owner = owner.encode("utf-8", "replace").decode()
    assert sealer.open(owner, sealer.seal(owner, value)) == value


@given(st.binary(min_size=4, max_size=60), st.data())
def test_any_changed_byte_is_found(value: bytes, data: st.DataObject) -> None:
    sealer = Sealer(None)
    sealed = bytearray(sealer.seal("run", value))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Unavailable):
        sealer.open("run", bytes(sealed))


@pytest.mark.parametrize("length", [0, 1, 4, 15, 16, 20, 31])
def test_what_is_too_short_is_refused(length: int) -> None:
    sealer = Sealer(None)
    with pytest.raises(Unavailable):
        sealer.open("run", sealer.seal("run", b"value")[:length])


def test_sealed_for_another_name_it_is_refused() -> None:
    sealer = Sealer(None)
    with pytest.raises(Unavailable, match="belongs elsewhere"):
        sealer.open("b", sealer.seal("a", b"value"))


def test_the_same_value_is_never_sealed_the_same() -> None:
    sealer = Sealer(None)
    assert len({sealer.seal("a", b"value") for _ in range(100)}) == 100


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        Sealer(key_in(tmp_path)).seal("a", b"value")
    finally:
        os.umask(old)
    assert key_in(tmp_path).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def loose(path: Path) -> None:
    path.chmod(0o640)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("harm", "said"),
    [(loose, "others can open it.*chmod 600"), (cut, "damaged.*put back a copy"), (emptied, "damaged"),
     (flipped, "damaged"), (linked, "cannot be read"), (a_folder, "is no file"), (a_pipe, "is no file")],
)  # fmt: skip
def test_a_key_that_cannot_be_trusted_is_not_used(tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    sealed = Sealer(key_in(tmp_path)).seal("a", b"value")
    harm(key_in(tmp_path))
    again = Sealer(key_in(tmp_path))
    for use in (lambda: again.open("a", sealed), lambda: again.seal("a", b"value"), again.begin_rotation):
        with pytest.raises(InvalidConfig, match=said) as refused:
            use()
        assert str(key_in(tmp_path)) in refused.value.message
        assert "value" not in refused.value.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_not_used(tmp_path: Path) -> None:
    sealed = Sealer(key_in(tmp_path)).seal("a", b"value")
    os.chown(key_in(tmp_path), 4242, 4242)
    with pytest.raises(InvalidConfig, match=r"belongs to user id 4242.*chown"):
        Sealer(key_in(tmp_path)).open("a", sealed)


def test_without_its_key_or_with_another_one_it_says_which(tmp_path: Path) -> None:
    sealed = Sealer(key_in(tmp_path)).seal("a", b"value")
    key_in(tmp_path).unlink()
    again = Sealer(key_in(tmp_path))
    with pytest.raises(Unavailable, match=f"needs the key {sealed[:4].hex()}, but .* is not there: put back"):
        again.open("a", sealed)
    fresh = again.seal("b", b"new")
    with pytest.raises(Unavailable, match=f"needs the key {sealed[:4].hex()}, but .* has the key {fresh[:4].hex()}"):
        again.open("a", sealed)
    assert again.open("b", fresh) == b"new"


def test_one_key_is_made_however_many_ask_at_once(tmp_path: Path) -> None:
    sealer, sealed = Sealer(key_in(tmp_path)), list[bytes]()
    threads = [threading.Thread(target=lambda: sealed.append(sealer.seal("a", b"value"))) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert {Sealer(key_in(tmp_path)).open("a", each) for each in sealed} == {b"value"}


def test_a_digest_tells_nothing_and_outlives_the_key(tmp_path: Path) -> None:
    sealer = Sealer(key_in(tmp_path))
    digest = sealer.digest(b"value")
    assert digest != Sealer(None).digest(b"value")
    sealer.begin_rotation()
    sealer.finish_rotation()
    assert sealer.digest(b"value") == Sealer(key_in(tmp_path)).digest(b"value") == digest


DIES = """
import os, pathlib, signal, sys
from trunnion.access.sealing import Sealer

folder, at = pathlib.Path(sys.argv[1]), int(sys.argv[2])
count = 0

def fault(original):
    def call(*args, **named):
        global count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **named)
    return call

sealer = Sealer(folder / "secret.key")
old = (folder / "sealed").read_bytes()
for name in ("open", "fsync", "fdopen", "write"):
    setattr(os, name, fault(getattr(os, name)))
for name in ("replace", "unlink"):
    setattr(pathlib.Path, name, fault(getattr(pathlib.Path, name)))
sealer.begin_rotation()
new = sealer.seal("a", sealer.open("a", old))
(folder / "sealed.new").write_bytes(new)
(folder / "sealed.new").replace(folder / "sealed")
sealer.finish_rotation()
print(count)
"""


def rotated(folder: Path, at: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", DIES, str(folder), str(at)], capture_output=True, text=True, check=False, timeout=30
    )


def test_n6_killed_at_every_step_of_a_change_of_the_key(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "sealed").write_bytes(Sealer(key_in(made)).seal("a", b"value"))
    whole = tmp_path / "whole"
    shutil.copytree(made, whole)
    steps = int(rotated(whole, 0).stdout)
    assert steps >= 12
    for at in range(1, steps + 1):
        folder = tmp_path / str(at)
        shutil.copytree(made, folder)
        assert rotated(folder, at).returncode == -9
        again = Sealer(key_in(folder))
        assert again.open("a", (folder / "sealed").read_bytes()) == b"value", f"killed at step {at}"
        if again.rotating:
            again.begin_rotation()
            sealed = again.seal("a", again.open("a", (folder / "sealed").read_bytes()))
            again.finish_rotation()
            assert Sealer(key_in(folder)).open("a", sealed) == b"value"
        left = {path.name for path in folder.iterdir()} - {"sealed", "sealed.new"}
        assert left <= {"secret.key", "secret.key.partial", "secret.key.next.partial"}
    print(f"killed at each of {steps} steps")


def test_the_old_key_opens_nothing_afterwards(tmp_path: Path) -> None:
    sealer = Sealer(key_in(tmp_path))
    old = sealer.seal("a", b"value")
    sealer.begin_rotation()
    assert sealer.rotating
    assert sealer.is_old(old)
    assert sealer.open("a", old) == b"value"
    sealer.finish_rotation()
    assert not sealer.rotating
    with pytest.raises(TrunnionError, match="needs the key"):
        sealer.open("a", old)


def test_a_new_key_that_cannot_be_written_seals_nothing(tmp_path: Path) -> None:
    """Root writes wherever it likes, but into no folder."""
    sealer = Sealer(key_in(tmp_path))
    sealed = [sealer.seal("a", b"one")]
    in_the_way = tmp_path / "secret.key.next.partial"
    in_the_way.mkdir()
    for _ in range(2):
        with pytest.raises(InvalidConfig, match="cannot be written"):
            sealer.begin_rotation()
        sealed.append(sealer.seal("a", b"one"))
    assert [Sealer(key_in(tmp_path)).open("a", each) for each in sealed] == [b"one"] * 3  # after a kill -9
    in_the_way.rmdir()
    sealer.begin_rotation()
    assert sealer.is_old(sealed[0])
    sealer.finish_rotation()
    assert not sealer.rotating
