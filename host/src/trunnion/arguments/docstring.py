"""Descriptions of parameters, read from the ``Args:`` section of a Google style docstring."""

from __future__ import annotations

import inspect
import re

_section = re.compile(r"(\s*)(?:Args|Arguments|Parameters):\s*")
_entry = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")


def parameter_descriptions(function: object) -> dict[str, str]:
    """Parameter name -> its description on one line."""
    lines = iter((inspect.getdoc(function) or "").splitlines())
    found: dict[str, list[str]] = {}
    if any(_section.fullmatch(line) for line in lines):
        _read(list(lines), found)
    return {name: " ".join(texts).strip() for name, texts in found.items()}


def _read(lines: list[str], found: dict[str, list[str]]) -> None:
    indent, current = 0, ""
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth == 0:
            return
        indent = indent or depth
        entry = _entry.fullmatch(line.strip()) if depth == indent else None
        if entry:
            current = entry.group(1)
            found[current] = [entry.group(2)]
        elif current:
            found[current].append(line.strip())
