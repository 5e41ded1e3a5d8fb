"""Searching text for many values at once, by one automaton that is built once and never changes.

The automaton is Aho and Corasick's (Communications of the ACM 18/6, 1975): every value in every form is
looked for in one pass, however many they are. It knows what they begin with, for it takes hundreds of bytes
for each character; the rest of long ones is compared where it finds that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import AnyStr, TypeAlias

import msgspec
from ahocorasick_rs import AhoCorasick, BytesAhoCorasick, MatchKind

from trunnion.access.forms import SHORTEST, forms
from trunnion.access.patterns import PATTERNS, KeyNames, Span
from trunnion.model.json import encode

HEAD = SHORTEST
ANCHOR = 64
"""Characters of a form that the automaton knows."""

GLANCE = 8
"""Bytes of a form that a first look at much text goes by."""

NO_KEYS = KeyNames(())

Search: TypeAlias = Callable[[str], object]
"""Answers with something true where a value, or what a pattern begins with, is in a text."""

SearchEncoded: TypeAlias = Callable[[bytes | msgspec.Raw], object]
"""The same for encoded JSON; no means that nothing in it is to be cut."""

SearchBytes: TypeAlias = Callable[[bytes], object]
"""The same for much text, as UTF-8."""


class Matcher:
    """Finds a fixed set of values.

    Args:
        values: the secrets; their forms are searched for.
        patterns: whether secrets are also known by their looks.
        keys: names of structured data whose texts are secrets.

    Attributes:
        search: whether there is anything in a text; the quick first look.
        search_encoded: the same for encoded JSON.
        numbers: values that are cut where a number of structured data is one.
    """

    def __init__(self, values: Collection[str] = (), *, patterns: bool = False, keys: KeyNames = NO_KEYS) -> None:
        found = sorted({form for value in values for form in forms(value)})
        self.numbers = frozenset(found)
        self.keys = keys
        self._patterns = list(PATTERNS.values()) if patterns else []
        self._literals = literals = list(PATTERNS) if patterns else []
        anchors = _anchored(found)
        self._text = AhoCorasick([*literals, *anchors], store_patterns=False)
        self._found = found
        self._with_anchor = list(anchors.values())
        self._encoded = BytesAhoCorasick(
            [*_encoded(anchors), *(literal.encode() for literal in literals), *keys.literals]
        )
        self.search: Search = self._text.find_matches_as_indexes
        self.search_encoded: SearchEncoded = self._encoded.find_matches_as_indexes

    @cached_property
    def glance(self) -> SearchBytes:
        """Whether there may be anything in a long text, given as UTF-8: some twenty times as fast as ``search``."""
        return _glance([form.encode() for form in self._found], [literal.encode() for literal in self._literals])

    def spans(self, text: str) -> list[Span]:
        """Where values and secrets of known looks are; they may overlap. ``text`` is valid Unicode."""
        if not self.search(text):
            return []
        return [
            span
            for match in self._text.find_matches_as_indexes(text, overlapping=True)
            for span in self._judged(text, *match)
        ]

    def _judged(self, text: str, number: int, start: int, end: int) -> Iterable[Span]:
        of_value = number - len(self._patterns)
        if of_value >= 0:
            return _begun_with(text, start, self._with_anchor[of_value])
        span = self._patterns[number](text, start, end)
        return () if span is None else (span,)

    def value_spans(self, text: str) -> list[Span]:
        """Where values are, whatever else looks like a secret."""
        first = len(self._patterns)
        found = self._text.find_matches_as_indexes(text, overlapping=True) if self.search(text) else ()
        return [span for match in found if match[0] >= first for span in self._judged(text, *match)]

    # -- bytes ------------------------------------------------------------------------------------

    def byte_spans(self, data: bytes) -> list[Span]:
        """Where values are in a stream of bytes."""
        return self._bytes.spans(data)

    def begun(self, data: bytes) -> int:
        """Where at the end of ``data`` a value may have begun that is not all there yet; its length if nowhere."""
        near: int = max(0, len(data) - self._bytes.longest + 1)
        tail = data[near:]
        heads: list[int] = [start for _, start, _ in self._bytes.heads.find_matches_as_indexes(tail, overlapping=True)]
        starts: list[int] = [*heads, *range(max(0, len(tail) - HEAD + 1), len(tail))]
        for start in starts:
            if self._bytes.is_beginning(tail, start):
                return near + start
        return len(data)

    @cached_property
    def _bytes(self) -> _ByteForms:
        """Made when bytes are searched: the secrets of the host as a whole never are."""
        return _ByteForms(self._found)


class _ByteForms:
    """The same forms, for streams of bytes.

    Attributes:
        heads: finds what they begin with.
        longest: of them, in bytes.
    """

    def __init__(self, found: Iterable[str]) -> None:
        self._forms = sorted(form.encode() for form in found)
        anchors = _anchored(self._forms)
        self._glance = _glance(self._forms)
        self._find = BytesAhoCorasick(list(anchors)).find_matches_as_indexes
        self._with_anchor = list(anchors.values())
        self.heads = BytesAhoCorasick(sorted({form[:HEAD] for form in self._forms}))
        self.longest: int = max(map(len, self._forms), default=0)

    def spans(self, data: bytes) -> list[Span]:
        """Where forms are; they may overlap."""
        if not self._glance(data):
            return []
        return [
            span
            for number, start, _ in self._find(data, overlapping=True)
            for span in _begun_with(data, start, self._with_anchor[number])
        ]

    def is_beginning(self, data: bytes, start: int) -> bool:
        """Whether a form begins as ``data`` goes on to its end from ``start``, and goes on itself."""
        near = data[start : start + ANCHOR]
        at = bisect_left(self._forms, near)
        if at == len(self._forms) or not self._forms[at].startswith(near):
            return False
        text = data[start:]
        at = bisect_left(self._forms, text)
        if at < len(self._forms) and self._forms[at] == text:  # whole, but maybe a longer one begins so too
            at += 1
        return at < len(self._forms) and self._forms[at].startswith(text)


def _glance(found: Iterable[bytes], literals: Iterable[bytes] = ()) -> SearchBytes:
    """What forms and literals begin with. Matches that may not overlap, of few and short beginnings, are what the
    library looks for many bytes at a time.
    """
    beginnings = sorted({form[:GLANCE] for form in found} | set(literals))
    return BytesAhoCorasick(beginnings, matchkind=MatchKind.LeftmostFirst).find_matches_as_indexes


def _anchored(found: Sequence[AnyStr]) -> dict[AnyStr, list[AnyStr]]:
    """Forms by what they begin with, the longest first."""
    anchored: defaultdict[AnyStr, list[AnyStr]] = defaultdict(list)
    for form in sorted(found, key=len, reverse=True):
        anchored[form[:ANCHOR]].append(form)
    return anchored


def _begun_with(text: AnyStr, start: int, found: Sequence[AnyStr]) -> tuple[Span, ...]:
    """Where the longest of these forms is that stands in a text from ``start`` on."""
    end = next((start + len(form) for form in found if text.startswith(form, start)), None)
    return () if end is None else ((start, end),)


def _encoded(anchors: Iterable[str]) -> set[bytes]:
    """Beginnings of forms as they stand in encoded JSON: as a number, and within a string."""
    return {spelled for anchor in anchors for spelled in (anchor.encode(), encode(anchor)[1:-1])}


def merged(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, those that overlap made one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
