"""Fuzz: what comes from outside and is read by the store is taken, or refused by name; nothing else happens."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trunnion.model.errors import IncompatibleData, InvalidArguments
from trunnion.store.backup.manifest import DATABASE, FIRST, LAST, first_content
from trunnion.store.backup.reading import verify
from trunnion.store.listing import MAX, parse_cursor

ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
HEADER = 512


@settings(deadline=None)
@given(st.text(max_size=40) | st.integers().map(str))
def test_a_cursor_is_a_number_of_ours_or_refused(text: str) -> None:
    try:
        assert 0 <= parse_cursor(text) < MAX
    except InvalidArguments:
        return
    assert text == text.strip()


def archive(members: list[tuple[str, bytes]]) -> bytearray:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return bytearray(whole.getvalue())


MANIFEST = {
    "format": 1, "host_id": "h", "created": 1, "version": "1", "data_version": 1, "runs": 0, "has_key": False,
    "files": [{"name": DATABASE, "size": 3, "sha256": "0" * 64, "mode": 384}], "folders": [], "notes": [],
}  # fmt: skip
GOOD = archive(
    [
        (FIRST, first_content()),
        (DATABASE, b"abc"),
        ("shared/" + "n" * 200 + "é", b"x" * 700),
        (LAST, json.dumps(MANIFEST).encode()),
    ]
)


def judged(place: Path, content: bytes) -> None:
    """A backup that nobody sealed can only be refused, by one of two errors."""
    place.write_bytes(content)
    try:
        verify(place)
    except (InvalidArguments, IncompatibleData):
        return
    raise AssertionError("taken, although it is no backup")


@ONE_FOLDER
@given(st.binary(max_size=300), st.booleans())
@example(b"", False)
@example(b"\x1f\x8b\x08\x00", False)
def test_any_bytes_are_no_backup(tmp_path: Path, content: bytes, packed: bool) -> None:
    judged(tmp_path / "b", gzip.compress(content) if packed else content)


@ONE_FOLDER
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=12)), max_size=6), st.data())
def test_a_changed_backup_is_refused(tmp_path: Path, changes: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """Headers, names, sizes and contents changed at will, and cut anywhere."""
    content = bytearray(GOOD)
    for at, new in changes:
        content[at : at + len(new)] = new
    end = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    judged(tmp_path / "b", gzip.compress(bytes(content[:end]), 1))


@ONE_FOLDER
@given(st.binary(max_size=200) | st.text(max_size=60).map(str.encode))
@example(b"12 path=../../x\n")
@example(b"0 size=1\n")
@example(b"-9 size=1\n")
@example(b"6000 size=" + b"9" * 5989 + b"\n")
def test_any_extended_header_is_refused(tmp_path: Path, records: bytes) -> None:
    head = tarfile.TarInfo("x")
    head.type, head.size = tarfile.XHDTYPE, len(records)
    block = head.tobuf(tarfile.USTAR_FORMAT) + records + b"\0" * (-len(records) % HEADER)
    judged(
        tmp_path / "b", gzip.compress(bytes(archive([(FIRST, first_content())])[: 2 * HEADER]) + block + bytes(GOOD), 1)
    )


@ONE_FOLDER
@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=5) | st.floats(), st.lists, max_leaves=5),
    st.sampled_from(sorted(MANIFEST)),
)
def test_any_list_of_files_is_refused(tmp_path: Path, value: object, key: str) -> None:
    content = json.dumps({**MANIFEST, key: value}).encode()
    judged(tmp_path / "b", gzip.compress(bytes(archive([(FIRST, first_content()), (LAST, content)])), 1))
