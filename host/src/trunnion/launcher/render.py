"""Events of a stream for a person at the launcher: rendered, and what does not stay drawn below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trunnion.launcher.screen import Screen
from trunnion.rendering.bars import Live, Steps, bar
from trunnion.rendering.events import ArtifactPath, EventRenderer

if TYPE_CHECKING:
    from trunnion.model.events import Event
    from trunnion.model.json import Json


class Renderer:
    """Shows events as they come. ``close`` clears what is still drawn.

    Args:
        screen: where to; a terminal is given text to be looked at, a pipe text as it is.
        states: show all changes of state, not only that a run is tried again.
        artifacts: the folder of kept files, which are then named by their paths.
    """

    def __init__(self, screen: Screen, *, states: bool = False, artifacts: Path | None = None) -> None:
        self._screen = screen
        self._line = _Drawn(screen) if screen.draws else _Said(screen)
        path = path_below(artifacts) if artifacts is not None else None
        self._out, self._err = (
            EventRenderer(
                screen.palette(error=error),
                screen.width,
                states="debug" if states else "off",
                artifact_path=path,
                raw=not is_terminal,
            )
            for error, is_terminal in ((False, screen.out_is_terminal), (True, screen.err_is_terminal))
        )
        self._are_alike = screen.out_is_terminal == screen.err_is_terminal

    def show(self, event: Event) -> None:
        """Show one event; a kind nobody knows is shown as data."""
        made = self._out.render(event)
        if made.error and not self._are_alike:
            made = self._err.render(event)
        if made.live is not None:
            self._line.show(made.live)
        if made.text:
            self._line.clear()
            self._screen.put(made.text, error=made.error)

    def close(self) -> None:
        """Clear what is drawn and will not stay."""
        self._line.clear()


class _Said:
    """Progress where nothing can be drawn: a line for every tenth."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._steps = Steps()

    def show(self, live: Live) -> None:
        """Say how far it is, if that is worth a line."""
        if line := self._steps.line(live):
            self._screen.note(line)

    def clear(self) -> None:
        """Nothing is drawn."""


class _Drawn:
    """One line on the terminal, below whatever else is printed."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._palette = screen.palette(error=True)
        self._only_ascii = not screen.speaks_unicode
        self._is_there = False

    def show(self, live: Live) -> None:
        """Draw it in the place of what was drawn."""
        self._is_there = True
        drawn = bar(live, self._screen.width() - 1, self._palette, only_ascii=self._only_ascii)
        self._screen.put(f"\r\x1b[K{drawn}", error=True)

    def clear(self) -> None:
        """Take it away."""
        if self._is_there:
            self._is_there = False
            self._screen.put("\r\x1b[K", error=True)


def path_below(artifacts: Path) -> ArtifactPath:
    """What tells the paths of kept files, for who is on the same machine."""
    from trunnion.store.files import RunFiles

    files = RunFiles(artifacts)

    def path(run_id: str, artifact_id: str) -> str | None:
        try:
            found = files.artifact(run_id, artifact_id)
        except ValueError:
            return None
        return str(found) if found.is_file() else None

    return path


def show_table(screen: Screen, rows: Sequence[Sequence[Json]], headers: Sequence[str], title: str = "") -> None:
    """A table on standard output: drawn on a terminal, tab-separated lines elsewhere."""
    from trunnion.model.tables import Table
    from trunnion.rendering.table import draw_table, tabbed_table

    table = Table(rows, headers, title)
    is_drawn = screen.out_is_terminal
    screen.put(draw_table(table, screen.width(), screen.palette()) if is_drawn else tabbed_table(table))
