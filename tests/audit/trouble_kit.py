"""Hosts whose record is in trouble: what they are asked to do, and the disk that fails them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from audit_kit import of_kind

from trunnion import Command, Json
from trunnion.testing import Hosting

DONE: list[int] = []


def do(number: int) -> int:
    DONE.append(number)
    return number


def say(text: str) -> int:
    return len(text)


DO, SAY = Command.of(do, console="t"), Command.of(say, console="t")
EASY = Command.of(do, console="easy")


def hosting(data: Path, /, **settings: Json) -> Hosting:
    DONE.clear()
    return Hosting(
        plugins=["audit"], commands=[DO, SAY, EASY], data_dir=data, store="process", settings={"audit": settings}
    )


def actions(folder: Path) -> list[str]:
    return [record["action"] for record in of_kind(folder, "admin")]


class Full:
    """A disk that takes only the beginning of what is written to the log."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.full = False
        real = os.write

        def write(descriptor: int, data: bytes) -> int:
            if self.full and str(folder) in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
                if len(data) > 10:
                    return real(descriptor, data[:10])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(descriptor, data)

        monkeypatch.setattr("trunnion_audit.segment.os.write", write)
