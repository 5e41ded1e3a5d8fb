"""Where what a test itself prints goes while its host takes up what handlers print."""

from __future__ import annotations

import logging
import sys
from contextlib import AbstractContextManager
from typing import TextIO

from trunnion.kernel.capturing import RunAwareStream, capture


class _Test:
    """The test, which is outside of all runs; the same for all hosts it has at a time."""

    level = logging.INFO

    def __init__(self) -> None:
        self._out: TextIO | None = None

    def found(self) -> None:
        """Remember what is standard output now, unless a host stands in for it already."""
        if not isinstance(sys.stdout, RunAwareStream):
            self._out = sys.stdout

    def printed(self, text: str) -> None:
        """Goes where it would go anyway."""
        out = self._out or sys.__stdout__
        if out is not None:
            out.write(text)

    def log(self, name: str, level: str, text: str) -> None:
        """Records outside of runs have handlers of their own in a test."""


_test = _Test()


def take_up() -> AbstractContextManager[None]:
    """While inside, what handlers print and log belongs to their run, and all else goes where it went before."""
    _test.found()
    return capture(_test)
