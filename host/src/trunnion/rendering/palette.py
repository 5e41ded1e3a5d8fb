"""Which colour says what: one palette for dark terminals, one for light ones, one without any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

from trunnion.rendering.neutral import RESET

Role: TypeAlias = Literal[
    "critical",
    "error",
    "warning",
    "info",
    "debug",
    "state",
    "host",
    "artifact",
    "progress",
    "title",
    "header",
    "rule",
    "key",
    "string",
    "number",
    "tag",
    "muted",
    "success",
]
Theme: TypeAlias = Literal["dark", "light", "mono"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)


class Palette:
    """What each role looks like.

    Args:
        roles: role -> parameters of SGR, such as ``1;31``; roles that are not named have no colour.
    """

    def __init__(self, roles: Mapping[Role, str]) -> None:
        self._roles: Mapping[str, str] = {role: look for role, look in roles.items() if look}

    def __bool__(self) -> bool:
        """Whether it colours anything."""
        return bool(self._roles)

    def look(self, role: str) -> str:
        """Parameters of SGR; ``""`` for none, as for a role there is not."""
        return self._roles.get(role, "")

    def paint(self, role: str, text: str) -> str:
        """``text``, which is neutralised, in the colour of a role: each of its lines for itself."""
        look = self._roles.get(role)
        if look is None or not text:
            return text
        begin = f"\x1b[{look}m"
        if "\n" not in text:
            return f"{begin}{text}{RESET}"
        body, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
        return begin + body.replace("\n", f"{RESET}\n{begin}") + RESET + end


PLAIN: Final = Palette({})

DARK: Final = Palette(
    {
        "critical": "1;91",
        "error": "91",
        "warning": "33",
        "info": "36",
        "debug": "90",
        "state": "34",
        "host": "35",
        "artifact": "36",
        "progress": "32",
        "title": "1",
        "header": "1",
        "rule": "90",
        "key": "36",
        "string": "32",
        "number": "33",
        "tag": "35",
        "muted": "90",
        "success": "32",
    }
)

LIGHT: Final = Palette(
    {
        "critical": "1;31",
        "error": "31",
        "warning": "38;5;130",
        "info": "34",
        "debug": "38;5;242",
        "state": "34",
        "host": "35",
        "artifact": "34",
        "progress": "38;5;28",
        "title": "1",
        "header": "1",
        "rule": "38;5;242",
        "key": "34",
        "string": "38;5;28",
        "number": "38;5;130",
        "tag": "35",
        "muted": "38;5;242",
        "success": "38;5;28",
    }
)


def palette_of(theme: str, environ: Mapping[str, str], *, is_terminal: bool) -> Palette:
    """The palette for one stream of output.

    Args:
        theme: dark, light, or mono for none.
        environ: ``NO_COLOR`` with any value but an empty one means none (no-color.org), as does ``TERM=dumb``.
            Colour in what programs print is theirs and stays.
        is_terminal: whether the stream is one; elsewhere nothing is coloured.
    """
    if not is_terminal or environ.get("NO_COLOR") or is_dumb(environ):
        return PLAIN
    return {"dark": DARK, "light": LIGHT}.get(theme, PLAIN)


def is_dumb(environ: Mapping[str, str]) -> bool:
    """Whether the terminal can neither colour nor go back to the beginning of a line."""
    return environ.get("TERM", "dumb") in ("dumb", "")
