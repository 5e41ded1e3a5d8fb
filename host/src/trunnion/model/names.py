"""Dotted names: what may be one, how other spellings are mapped, and the nearest ones to a typo."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

LONGEST_TYPO = 256
"""Characters beyond which nothing is taken for a misspelt name: looking costs more than it could find."""

SEGMENT = r"[a-z][a-z0-9_-]{0,62}"
_segment = re.compile(SEGMENT)
_dotted = re.compile(rf"{SEGMENT}(?:\.{SEGMENT})*")
_stream = re.compile(r"[a-z][a-z0-9_.-]{0,127}(?:/[a-zA-Z0-9_.-]{1,128}){0,7}")


def is_segment(text: str) -> bool:
    """Whether ``text`` is one segment of a dotted name."""
    return _segment.fullmatch(text) is not None


def is_dotted(text: str) -> bool:
    """Whether ``text`` is a dotted name such as ``device.plc1.write``."""
    return _dotted.fullmatch(text) is not None


def is_stream_name(text: str) -> bool:
    """Whether ``text`` is a stream name such as ``run/<id>`` or ``host``."""
    return _stream.fullmatch(text) is not None


def to_segment(text: str) -> str:
    """Map any spelling to a segment: ``Read Temp!`` becomes ``read-temp``.

    Raises:
        ValueError: nothing usable is left.
    """
    mapped = re.sub(r"[^a-z0-9_-]+", "-", text.strip().lower()).strip("-_")
    if mapped and not mapped[0].isalpha():
        mapped = "x" + mapped
    mapped = mapped[:63].rstrip("-_")
    if not is_segment(mapped):
        raise ValueError(f"no name can be made of {text!r}: it needs at least one ASCII letter or digit")
    return mapped


def console_of(command_id: str) -> str:
    """The console of a dotted name: all but the last segment, ``""`` for the root."""
    return command_id.rpartition(".")[0]


def plugin_of(owner: str) -> str:
    """The plugin behind the owner of a set: of ``stdiolink/plc1``, an instance's, it is ``stdiolink``."""
    return owner.partition("/")[0]


def is_own_set(name: str, plugin_id: str) -> bool:
    """Whether a set's name is one a plugin may use: its own id, or ``<id>/<name>``."""
    own, slash, rest = name.partition("/")
    return own == plugin_id and bool(rest) == bool(slash)


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to ``count`` of ``known`` that look like ``name``, best first."""
    if len(name) > LONGEST_TYPO:
        return []
    names = sorted(set(known))
    found = difflib.get_close_matches(name, names, n=count, cutoff=0.6)
    tail = name.rpartition(".")[2]
    by_tail = [n for n in names if tail and n.rpartition(".")[2] == tail and n not in found]
    return (found + by_tail)[:count]
