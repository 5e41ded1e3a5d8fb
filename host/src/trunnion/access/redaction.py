"""Redaction: secrets are cut before anything is encoded, stored or sent.

``Redaction`` holds what the whole host knows: registered values, the looks of common secrets, and names
of structured data that keep them. A ``Redactor`` cuts all that, and what one run adds of its own.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

import msgspec

from trunnion.access.matching import Matcher, Search, SearchBytes, SearchEncoded, merged
from trunnion.access.patterns import KeyNames, Span
from trunnion.config.redaction_settings import KEY_NAMES
from trunnion.config.secret_values import secret_values
from trunnion.config.values import Config
from trunnion.model.errors import ErrorInfo
from trunnion.model.json import Json, JsonObject, decode, encode, valid_text

MASK = "•••"
LONG = 32
"""Characters from which on a text is encoded to be looked at: that is faster than looking at characters."""

SECRET_SETTINGS = (*KEY_NAMES, "*token", "*key", "*pass", "*pwd", "*credentials", "*secrets")
"""Names a user may have given to a secret in a table of settings that is hidden as a whole."""

Release = Callable[[], None]
"""Takes back a registration; doing so twice is harmless."""


class RedactionSettings(msgspec.Struct, frozen=True):
    """The section ``[redaction]``.

    Attributes:
        patterns: whether secrets are known by their looks.
        keys: names of structured data, see ``KEY_NAMES``.
    """

    patterns: bool = True
    keys: tuple[str, ...] = KEY_NAMES


class Redaction:
    """What the host as a whole keeps from sight. From any thread; what is registered counts at once.

    Attributes:
        search: the quick first look at a text, see ``Matcher``.
        search_encoded: the same for encoded JSON.
        glance: the same for long text, see ``Matcher``.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._owners: Counter[str] = Counter()
        self._patterns = False
        self._keys = KeyNames(())
        self._lock = threading.Lock()
        self._matcher: Matcher | None = None
        self.search: Search = self._rebuilt_search
        self.search_encoded: SearchEncoded = self._rebuilt_search_encoded
        self.glance: SearchBytes = self._rebuilt_glance

    @classmethod
    def of(cls, config: Config) -> Redaction:
        """As a configuration wants it, with that configuration's own secrets."""
        redaction = cls()
        redaction.configure(config.section("redaction"))
        redaction.register_settings(config)
        return redaction

    def configure(self, section: JsonObject) -> None:
        """Take over the section ``[redaction]`` of the configuration: what is cut beside registered values."""
        settings = msgspec.convert(section, RedactionSettings)
        with self._lock:
            self._patterns, self._keys = settings.patterns, KeyNames(settings.keys)
            self._changed()

    def register_settings(self, config: Config) -> None:
        """Have the secret values of a configuration cut from now on."""
        names = KeyNames(SECRET_SETTINGS)
        found = (value for name, value in secret_values(config) if name is None or name in names)
        self.register(*(leaf for value in found for leaf in leaves(value)), owner="config")

    def register(self, *values: str, owner: str) -> Release:
        """Have values cut wherever they come up, until they are released as often as they were registered.

        Values shorter than ``forms.SHORTEST`` are not searched for.

        Args:
            values: the secrets.
            owner: who knows them, for ``counts``.
        """
        with self._lock:
            fresh = any(value not in self._counts for value in values)
            self._counts.update(values)
            self._owners[owner] += len(values)
            if fresh:
                self._changed()
        pending = [values]
        return lambda: self._release(pending, owner)

    def counts(self) -> dict[str, int]:
        """How many values each owner has registered."""
        with self._lock:
            return dict(+self._owners)

    def _release(self, pending: list[tuple[str, ...]], owner: str) -> None:
        with self._lock:
            if not pending:
                return
            values = pending.pop()
            self._counts -= Counter(values)
            self._owners[owner] -= len(values)
            if any(value not in self._counts for value in values):
                self._changed()

    @property
    def matcher(self) -> Matcher:
        """The automaton over everything, built when it is first needed after a change."""
        found = self._matcher
        if found is None:
            with self._lock:
                found = self._matcher = Matcher(self._counts, patterns=self._patterns, keys=self._keys)
                self.search, self.search_encoded, self.glance = found.search, found.search_encoded, found.glance
        return found

    def _changed(self) -> None:
        """Many changes in a row cost one building."""
        self._matcher = None
        self.search, self.search_encoded = self._rebuilt_search, self._rebuilt_search_encoded
        self.glance = self._rebuilt_glance

    def _rebuilt_search(self, text: str) -> object:
        return self.matcher.search(text)

    def _rebuilt_search_encoded(self, data: bytes | msgspec.Raw) -> object:
        return self.matcher.search_encoded(data)

    def _rebuilt_glance(self, data: bytes) -> object:
        return self.matcher.glance(data)


class Redactor:
    """Cuts what the host keeps from sight, and values of one's own beside it.

    Args:
        host: what the whole host knows.
        own: values of one run.
        patterns: whether secrets are known by their looks here.
        keys: whether texts under known names are cut here.
    """

    def __init__(self, host: Redaction, own: Iterable[str] = (), *, patterns: bool = True, keys: bool = True) -> None:
        self._host = host
        self._values = frozenset(own)
        self._patterns = patterns
        self._keys = keys

    def with_own(self, values: Iterable[str]) -> Redactor:
        """One that cuts these values, too."""
        more = self._values.union(values)
        if more == self._values:
            return self
        return Redactor(self._host, more, patterns=self._patterns, keys=self._keys)

    @cached_property
    def own(self) -> Matcher | None:
        """What searches for values of one's own; it is built when it is first needed, not for each that is added."""
        return Matcher(self._values) if self._values else None

    @property
    def matcher(self) -> Matcher:
        """What searches for all that the whole host knows; as long as it is the same, so is what is cut."""
        return self._host.matcher

    @property
    def without_names(self) -> Redactor:
        """One that does not ask under which names texts stand, for documents whose names mean something else."""
        return Redactor(self._host, self._values, patterns=self._patterns, keys=False)

    @property
    def values_only(self) -> Redactor:
        """One that cuts values, whatever else looks like a secret."""
        return Redactor(self._host, self._values, patterns=False, keys=False)

    def text(self, text: str) -> str:
        """Text without the secrets."""
        try:
            if len(text) > LONG:
                data = text.encode()
                if not self._host.glance(data) and (self.own is None or not self.own.glance(data)):
                    return text
            elif self.own is None and not self._host.search(text):
                return text
        except UnicodeEncodeError:
            text = valid_text(text)
        spans = self._spans(text)
        return cut(text, spans) if spans else text

    def encoded(self, data: bytes) -> bytes:
        """Compact JSON without the secrets; it stays JSON, whatever they look like."""
        return encode(self._cut(decode(data))) if self._in_encoded(data) else data

    def raw(self, raw: msgspec.Raw) -> msgspec.Raw:
        """``encoded`` for what waits to be put into another document."""
        return msgspec.Raw(encode(self._cut(decode(raw)))) if self._in_encoded(raw) else raw

    def _in_encoded(self, data: bytes | msgspec.Raw) -> bool:
        return bool(self._host.search_encoded(data) or (self.own is not None and self.own.search_encoded(data)))

    def value(self, value: Json) -> Json:
        """Plain data without the secrets; the same object where there is none."""
        data = encode(value)
        clean = self.encoded(data)
        return value if clean is data else decode(clean)

    def error(self, error: ErrorInfo) -> ErrorInfo:
        """An error without the secrets; details that JSON has no form for, in which none would be found, go too."""
        message, details = self.text(error.message), error.details
        try:
            shown = self.value(details) if details else details
        except (TypeError, ValueError, RecursionError):
            shown = {}
        if message is error.message and shown is details:
            return error
        return ErrorInfo(error.code, message, dict(shown) if isinstance(shown, Mapping) else {})

    def _spans(self, text: str) -> list[Span]:
        matcher = self._host.matcher
        spans = matcher.spans(text) if self._patterns else matcher.value_spans(text)
        return spans + self.own.spans(text) if self.own is not None else spans

    def _cut(self, value: Json) -> Json:
        """Texts are cut wherever a secret stands in them, numbers only where they are one."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(name): self._under(name, each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._cut(each) for each in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return MASK if self._is_secret(encode(value).decode()) else value
        return value

    def _under(self, name: str, value: Json) -> Json:
        if not (self._keys and isinstance(value, str | list | tuple) and name in self._host.matcher.keys):
            return self._cut(value)
        if isinstance(value, str):
            return MASK if value else value
        return [MASK if isinstance(each, str) and each else self._cut(each) for each in value]

    def _is_secret(self, number: str) -> bool:
        return number in self._host.matcher.numbers or (self.own is not None and number in self.own.numbers)


def cut(text: str, spans: Iterable[Span]) -> str:
    """Text with a mask in the place of each span; spans that overlap are one."""
    pieces, at = [], 0
    for start, end in merged(spans):
        pieces += [text[at:start], MASK]
        at = end
    return "".join([*pieces, text[at:]])


def leaves(value: Json) -> Iterator[str]:
    """The texts and numbers in a secret value: each is a secret of its own."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield encode(value).decode()


NOTHING = Redactor(Redaction())
"""Cuts nothing."""
