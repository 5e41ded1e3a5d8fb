"""Commands made up by hypothesis, calls of them, and every way to type such a call."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from figures import DEFAULT_ROUNDS, ROUNDS
from hypothesis import strategies as st

from trunnion.arguments import Parameters, Word, compile_parameters
from trunnion_tty.catalog import Catalog
from trunnion_tty.reading import Place
from trunnion_tty.verbs import declared


def many(count: int) -> int:
    """So many examples in CI; ten times as many where rows of the fault matrix are run at length."""
    return count if ROUNDS <= DEFAULT_ROUNDS else 10 * count


NASTY = [
    "", " ", "-", "--", "-x", "--n", "--n=1", "-5", "a b", "'", '"', "\\", "\\\\", "a\nb", "\r", "\t", "a\r\n", "\\\n",
    "'\\\n'", "&", "#", "!", "# a", "!a", "n=1", "host=a b", "litres=", "=", "a=b", "$(id)", "`id`", "~", "*", "{}",
    "[1]", "[]", '["a"]', "{", "null", "true", "1", "1e5", "é", "日本", "\u00a0", "\u2028", "\x0b", "\x00", "it's",
    'say "so"', "\\'", "env:HOME", ".", "..", "a.b",
]  # fmt: skip
TEXT = (
    st.sampled_from(NASTY)
    | st.text(st.sampled_from("ab \t\n\r'\"\\$&#!=-.[]{}:é\u00a0"), max_size=8)
    | st.text(max_size=6)
)
WHOLE = st.integers(-9, 9) | st.integers(-(2**53) + 1, 2**53 - 1)
REAL = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | REAL | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True, repr=False)
class Kind:
    """What an argument may be: its schema, its values, and how one word says such a value.

    Attributes:
        several: whether words of several options or positions make one value; each says one item.
    """

    schema: Mapping[str, Any]
    values: st.SearchStrategy[Any]
    text: Callable[[Any], str] = _as_text
    several: bool = False

    def __repr__(self) -> str:
        return f"Kind({self.schema})"


CHOICES = ["red", "a b", "n=1", "-x", "", "&", "it's", "#1"]
KINDS = {
    "text": Kind({"type": "string"}, TEXT),
    "short": Kind({"type": "string", "maxLength": 3}, TEXT.filter(lambda text: len(text) <= 3)),
    "path": Kind({"type": "string", "format": "path"}, TEXT.filter(lambda text: "\0" not in text)),
    "whole": Kind({"type": "integer"}, WHOLE),
    "small": Kind({"type": "integer", "minimum": 0, "maximum": 9}, st.integers(0, 9)),
    "real": Kind({"type": "number"}, WHOLE | REAL),
    "flag": Kind({"type": "boolean"}, st.booleans()),
    "choice": Kind({"enum": CHOICES}, st.sampled_from(CHOICES)),
    "mixed": Kind({"enum": ["fast", 3, None, "no"]}, st.sampled_from(["fast", 3, None, "no"])),
    "perhaps": Kind({"type": ["integer", "null"]}, st.none() | WHOLE),
    "either": Kind({"anyOf": [{"type": "integer"}, {"type": "string"}]}, WHOLE | TEXT, json.dumps),
    "texts": Kind({"type": "array", "items": {"type": "string"}}, st.lists(TEXT, max_size=3), several=True),
    "numbers": Kind({"type": "array", "items": {"type": "integer"}}, st.lists(WHOLE, max_size=3), several=True),
    "table": Kind(
        {"type": "object", "additionalProperties": {"type": "integer"}}, st.dictionaries(TEXT, WHOLE, max_size=2)
    ),
    "any": Kind({}, JSON, json.dumps),
}
NAMES = ["host", "litres", "n", "dry_run", "a-b", "Ünï", "_x_", "c__d", "two words", "y"]


@dataclass(frozen=True)
class Made:
    """A command."""

    id: str
    kinds: Mapping[str, Kind]
    positional: tuple[str, ...]
    required: tuple[str, ...]
    secret: frozenset[str]

    @property
    def schema(self) -> dict[str, Any]:
        properties = {
            name: {**kind.schema, **({"writeOnly": True} if name in self.secret else {})}
            for name, kind in self.kinds.items()
        }
        return {"type": "object", "properties": properties, "required": list(self.required)}

    @cached_property
    def compiled(self) -> Parameters:
        """As the host compiles it."""
        return compile_parameters(lambda args: args, self.schema, self.positional)

    @cached_property
    def place(self) -> Place:
        """A host that has nothing else."""
        return place_of(self)

    def described(self) -> dict[str, Any]:
        """As meta tells it."""
        parameters = self.compiled
        return {"id": self.id, "args": parameters.schema, "argv": {"names": list(self.positional)}}


@st.composite
def commands(draw: st.DrawFn, secrets: bool = False) -> Made:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    kinds = {name: KINDS[draw(st.sampled_from(sorted(KINDS)))] for name in names}
    ordered = draw(st.permutations(names))
    positional = [name for name in ordered if draw(st.booleans())]
    required = [name for name in names if draw(st.booleans())]
    secret = frozenset(name for name in names if secrets and kinds[name] is KINDS["text"] and draw(st.booleans()))
    return Made("made.up", kinds, tuple(positional), tuple(required), secret)


@st.composite
def arguments(draw: st.DrawFn, made: Made) -> dict[str, Any]:
    """Arguments that fit."""
    return {
        name: draw(kind.values) for name, kind in made.kinds.items() if name in made.required or draw(st.booleans())
    }


@st.composite
def words(draw: st.DrawFn, made: Made, args: Mapping[str, Any]) -> list[Typed]:
    """The same as words, in one of the many ways it can be said."""
    options = made.compiled.options
    by_position, given = _by_position(draw, made, args)
    said = [draw(_said(made.kinds[name], options[name], name, args[name])) for name in args if name not in given]
    free = [word for group in draw(st.permutations(said)) for word in group]
    if not by_position:
        return free
    if any(_needs_end_of_options(text) for text in by_position) or draw(st.booleans()):
        return [*free, Typed("--"), *map(Typed, by_position)]
    return _mixed(draw, free, [Typed(text, bare=True) for text in by_position])


def _needs_end_of_options(text: str) -> bool:
    return text.startswith("-") and len(text) > 1


@dataclass(frozen=True)
class Typed:
    """One word: its text, what stands before ``=`` where it is typed so, and whether it must not pass for that."""

    text: str
    named: str = ""
    bare: bool = False
    value: bool = False


def _by_position(draw: st.DrawFn, made: Made, args: Mapping[str, Any]) -> tuple[list[str], set[str]]:
    """Words for the first arguments by position, and the names these are for."""
    texts: list[str] = []
    given: set[str] = set()
    for name in made.positional:
        # One that is left out is skipped only if a later one is not given by position either.
        if name not in args or not draw(st.booleans()):
            if name in args and draw(st.booleans()):
                continue
            break
        kind, value = made.kinds[name], args[name]
        if kind.several and name == made.positional[-1] and len(value) > 1:
            texts += [kind.text(item) for item in value]
        elif kind.several:
            texts.append(json.dumps(value))
        else:
            texts.append(kind.text(value))
        given.add(name)
    return texts, given


def _mixed(draw: st.DrawFn, free: list[Typed], plain: list[Typed]) -> list[Typed]:
    """Words by position anywhere between options, but not between one and its value."""
    for word in reversed(plain):
        places = [place for place in range(len(free) + 1) if place == len(free) or not free[place].value]
        last = next((place for place, typed in enumerate(free) if typed.bare), len(free))
        free.insert(draw(st.sampled_from([place for place in places if place <= last])), word)
    return free


@st.composite
def _said(draw: st.DrawFn, kind: Kind, option: str, name: str, value: Any) -> list[Typed]:
    """The words for one argument by name."""
    if kind is KINDS["flag"] and draw(st.booleans()):
        return [Typed(f"--{option}" if value else f"--no-{option}")]
    items = [kind.text(item) for item in value] if kind.several and len(value) > 1 else None
    texts = items if items is not None else [json.dumps(value) if kind.several else kind.text(value)]
    found: list[Typed] = []
    for text in texts:
        way = draw(st.sampled_from(["--name=value", "--name value", "name=value"]))
        typable = [spelling for spelling in (name, option) if not set(spelling) & set(" '\"\\")]
        if way == "name=value" and typable:
            found.append(Typed(text, named=draw(st.sampled_from(typable))))
        elif way == "--name value" and kind is not KINDS["flag"]:
            found += [Typed(f"--{option}"), Typed(text, value=True)]
        else:
            found.append(Typed(f"--{option}={text}"))
    return found


@st.composite
def typed(draw: st.DrawFn, made: Made, said: Sequence[Typed]) -> str:
    """A line of these words, each quoted in one of the many ways there are."""
    options = made.place.catalog.get(made.id).options  # type: ignore[union-attr]
    parts = [draw(st.sampled_from([made.id, f".{made.id}"]))]
    for number, word in enumerate(said):
        if word.named:
            parts.append(f"{word.named}={draw(raw(word.text))}")
            continue
        written = draw(raw(word.text))
        is_named = word.bare and options.named(Word(word.text, written, 0)) is not None
        is_mark = written == "&" and number == len(said) - 1
        parts.append(shlex.quote(word.text) if not written else f"'{word.text}'" if is_named or is_mark else written)
    blanks = st.sampled_from([" ", "  ", "\t", " \\\n", " \\\r\n "])
    line = "".join(part + draw(blanks) for part in parts[:-1]) + parts[-1]
    return draw(st.sampled_from(["", " ", "\t"])) + line + draw(st.sampled_from(["", " ", "\r"]))


@st.composite
def raw(draw: st.DrawFn, text: str) -> str:
    """A word that means this text; quoted piece by piece."""
    if not text:
        return draw(st.sampled_from(["''", '""', "''\"\""]))
    cut = draw(st.integers(0, len(text)))
    return "".join(draw(_quoted(part)) for part in (text[:cut], text[cut:]) if part)


@st.composite
def _quoted(draw: st.DrawFn, part: str) -> str:
    double = '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
    ways = [shlex.quote(part), double]
    if "\n" not in part:
        ways.append("".join(f"\\{c}" if c in " \t\r\\'\"&#" else c for c in part))
    if "'" not in part:
        ways.append(f"'{part}'")
    return draw(st.sampled_from(ways))


def place_of(*made: Made, console: str = "", aliases: Mapping[str, str] = {}) -> Place:
    """Where lines are typed on a host that has these commands."""
    meta = {"commands": [command.described() for command in made], "revision": "1"}
    return Place(Catalog(meta), VERBS, aliases, console)


VERBS = declared()
