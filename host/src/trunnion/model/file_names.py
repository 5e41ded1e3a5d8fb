"""Names of files as they are shown: text that is no path on any system."""

from __future__ import annotations

import unicodedata

LONGEST = 200
NAMELESS = "file"


def display_name(text: str) -> str:
    """A name that can be shown and saved under: one line, no path, never hidden, at most 200 characters.

    Control and formatting characters, separators of paths and what no encoding can carry become ``_``.
    """
    clean = "".join("_" if _means_something(char) else char for char in text[: 4 * LONGEST]).strip()[:LONGEST].rstrip()
    return clean if clean.strip("._") else NAMELESS


def _means_something(char: str) -> bool:
    """To a terminal, a path or an encoder; letters, digits and plain punctuation do not."""
    return char in '/\\:"<>|*?' or unicodedata.category(char)[0] == "C" or unicodedata.category(char) in ("Zl", "Zp")
