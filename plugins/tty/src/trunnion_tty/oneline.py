"""Text from elsewhere, such as a title or a reason, where there is room for one line. Pure."""

from __future__ import annotations

import re

from trunnion.rendering import visible

_colour = re.compile(r"\x1b\[[0-9;:]*m")


def one_line(text: str) -> str:
    """Text as one line that acts on nothing and has no colours of its own."""
    return _colour.sub("", visible(text)).replace("\n", " ").replace("\t", " ")


def hanging(text: str) -> str:
    """Text whose further lines stand back, so that none looks like one of the shell's own."""
    return text.replace("\n", "\n  ")
