"""The two streams of the terminal session, taken once at the start.

A host in the same process redirects ``sys.stdout`` into its runs, so the launcher keeps the real ones.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from trunnion.rendering.neutral import visible

if TYPE_CHECKING:
    from trunnion.model.json import Json
    from trunnion.rendering.palette import Palette

WIDTH, HEIGHT = 80, 24
"""Of a terminal that does not tell."""


class Screen:
    """Where the launcher writes.

    Args:
        as_json: standard output carries JSON only, notes are left out, errors are JSON.
        out, err: the streams; by default the process's own.

    Attributes:
        has_output: whether anything was written to standard output.
    """

    def __init__(self, *, as_json: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.as_json = as_json
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self.has_output = False
        self.out_is_terminal = self._out.isatty()
        self.err_is_terminal = self._err.isatty()

    @property
    def streams(self) -> tuple[TextIO, TextIO]:
        """Standard output and standard error, for another screen on the same ones."""
        return self._out, self._err

    @property
    def draws(self) -> bool:
        """Whether something can be drawn on standard error that does not stay."""
        from trunnion.rendering.palette import is_dumb

        return self.err_is_terminal and not is_dumb(os.environ)

    @property
    def speaks_unicode(self) -> bool:
        """Whether standard error takes characters beyond ASCII."""
        return (self._err.encoding or "utf-8").lower().startswith("utf")

    def palette(self, *, error: bool = False) -> Palette:
        """The colours of standard output or standard error."""
        from trunnion.rendering.palette import palette_of

        return palette_of("dark", os.environ, is_terminal=self.err_is_terminal if error else self.out_is_terminal)

    def width(self) -> int:
        """Columns of the terminal; ``COLUMNS`` counts before what it says itself."""
        return self._size("COLUMNS", 0) or WIDTH

    def height(self) -> int:
        """Lines of the terminal, in the same way."""
        return self._size("LINES", 1) or HEIGHT

    def _size(self, variable: str, number: int) -> int:
        said = os.environ.get(variable, "")
        if said.isascii() and said.isdigit() and int(said):
            return int(said)
        for stream in (self._out, self._err):
            with contextlib.suppress(OSError, ValueError):  # no terminal, none of the system's, or closed
                return os.get_terminal_size(stream.fileno())[number]
        return 0

    def out(self, text: str) -> None:
        """Write to standard output as it is; neutralised if that is a terminal. Raises as ``put`` does."""
        self.put(visible(text) if self.out_is_terminal else text)

    def err(self, text: str) -> None:
        """Write to standard error; neutralised if that is a terminal."""
        self.put(visible(text) if self.err_is_terminal else text, error=True)

    def put(self, text: str, *, error: bool = False) -> None:
        """Write what is rendered for the stream it goes to: nothing more is done to it.

        Raises:
            Unavailable: standard output cannot be written, as on a full disk.
        """
        self.has_output = self.has_output or not error
        try:
            _write(self._err if error else self._out, text)
        except OSError as failure:
            if not error:
                from trunnion.model.errors import Unavailable  # late: a mere --help does without

                raise Unavailable(f"standard output cannot be written: {failure.strerror}") from failure
            lead_nowhere(self._err)  # nobody could be told

    def note(self, text: str) -> None:
        """One line for the person at the terminal, on standard error; nothing with ``--json``."""
        if not self.as_json:
            self.err(text + "\n")

    def value(self, value: Json) -> None:
        """One JSON document on standard output: compact with ``--json``, else indented."""
        self.out(as_text(value, indent=None if self.as_json else 2) + "\n")

    def error(self, code: str, message: str, details: Mapping[str, Json]) -> None:
        """Say on standard error what went wrong: one line, or one JSON object with ``--json``."""
        if self.as_json:
            self.err(as_text({"code": code, "message": message, "details": details}) + "\n")
            return
        self.err(f"error: {message}\n")
        nearest = details.get("nearest")
        if isinstance(nearest, list) and nearest and str(nearest[0]) not in message:
            self.err(f"did you mean: {', '.join(map(str, nearest))}?\n")


def as_text(value: Json, indent: int | None = None) -> str:
    """JSON as text, with characters of all languages as they are."""
    import json

    separators = (",", ":") if indent is None else None
    return json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)


def _write(stream: TextIO, text: str) -> None:
    """Write and flush. Whoever closed the other end wants no more.

    Raises:
        OSError: it cannot be written.
    """
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        lead_nowhere(stream)
    except UnicodeEncodeError:
        stream.write(text.encode(stream.encoding or "ascii", "backslashreplace").decode(stream.encoding or "ascii"))
        stream.flush()


def lead_nowhere(stream: TextIO) -> None:
    """Have whatever is written to a stream of the process lost, also what it still holds."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
