"""B9: the power goes while a file is replaced: the old one is there or the new one, whole."""

from __future__ import annotations

import hashlib
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from disk_kit import VARIANTS, calls, compiled, cuts, environment, lay_out, run_child
from figures import SEED


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("library"))


def recorded(library: Path, tmp_path: Path, *args: str) -> tuple[Path, Path]:
    root, journal = tmp_path.resolve() / "disk", tmp_path / "journal"
    root.mkdir()
    run_child("names_child.py", root, *args, env=environment(library, root, journal=journal))
    return root, journal


def key_in(path: Path) -> str | None:
    """The id of the key in a file, after the written format; None if there is no file."""
    if not path.exists():
        return None
    content = path.read_bytes()
    whole = len(content) == 72 and content[64:] == hashlib.sha256(content[:64]).digest()[:8]
    return hashlib.sha256(b"trunnion key id\0" + content[:32]).digest()[:4].hex() if whole else "broken"


def backup_in(path: Path) -> str | None:
    if not path.exists():
        return None
    try:
        with tarfile.open(path, "r:gz") as archive:
            names = [member.name for member in archive if archive.extractfile(member) is None or member.size >= 0]
    except (tarfile.TarError, EOFError, OSError):
        return "broken"
    return "whole" if names[-1] == "manifest.json" else "broken"


def broken(found: Path, promises: list[str], keys: list[str]) -> list[str]:
    """What is neither the old file nor the new one. Of keys, one newer than the last promised may be there."""
    said = [line.split() for line in promises]
    wrong = []
    path = found / "data" / "host_id"
    text = path.read_text() if path.exists() else None
    promised = [words[1] for words in said if words[0] == "host_id"]
    if (text is None and promised) or (
        text is not None and (len(text) < 30 or (promised and text.strip() not in promised))
    ):
        wrong.append(f"host_id {text!r}")
    known = [words[2] for words in said if words[0] == "key"]
    key = key_in(found / "data" / "secret.key")
    if key == "broken" or (known and key not in keys[len(known) - 1 : len(known) + 1]):
        wrong.append(f"key {key}")
    backup = backup_in(found / "backup")
    if backup == "broken" or (backup is None and any(words[0] == "backup" for words in said)):
        wrong.append(f"backup {backup}")
    return wrong


def judged(root: Path, journal: Path, found: Path) -> tuple[int, list[tuple[int, str, list[str]]]]:
    """Every moment about a call that concerns these files, in every variant."""
    keys = [line.split()[2] for line in (root / "promises").read_text().splitlines() if line.startswith("key")]
    tried, wrong = 0, []
    last = None
    near = [number for number, call in enumerate(calls(journal)) if "/data/db" not in call.path]
    for number, disk, promises in cuts(journal, root, {*near, *(number + 1 for number in near)}, without="/data/db/"):
        for variant in VARIANTS:
            files = disk.after_power_cut(variant, random.Random(f"{SEED}/{number}/{variant}"))
            tried += 1
            if (files, promises) != last:
                lay_out(files, found)
                last = files, list(promises)
                if bad := broken(found, promises, keys):
                    wrong.append((number, variant, bad))
    return tried, wrong


def test_b9_rename_without_the_folder(library: Path, tmp_path: Path, figure: Callable[..., None]) -> None:
    root, journal = recorded(library, tmp_path)
    tried, wrong = judged(root, journal, tmp_path / "found")
    figure("power cuts while files were replaced", tried)
    figure("files that were neither old nor new", len(wrong))
    assert not wrong[:5], wrong[:5]


def test_b9_without_the_fault(library: Path, tmp_path: Path) -> None:
    root, _ = recorded(library, tmp_path)
    keys = [line.split()[2] for line in (root / "promises").read_text().splitlines() if line.startswith("key")]
    assert broken(root, (root / "promises").read_text().splitlines(), keys) == []


def test_b9_without_the_defence(library: Path, tmp_path: Path) -> None:
    root, journal = recorded(library, tmp_path, "sync")
    _, wrong = judged(root, journal, tmp_path / "found")
    assert {each.split()[0] for _, _, bad in wrong for each in bad} == {"host_id", "key", "backup"}
