"""What a name stands for: in its console, upwards, in full, everywhere; beside aliases and the shell's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_kit import VERBS, many

from trunnion import Json
from trunnion_tty.catalog import Catalog
from trunnion_tty.checking import check, unknown
from trunnion_tty.listing import explained, overview
from trunnion_tty.reading import Place, read

SEGMENTS = ["a", "b", "use", "jobs"]
DOTTED = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4).map(".".join)


@dataclass(frozen=True)
class World:
    """What a host has: each command with its further names, and those that appear everywhere."""

    commands: Mapping[str, Sequence[str]]
    everywhere: frozenset[str]
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def consoles(self) -> set[str]:
        """Every prefix of a name, and the main one."""
        names = [name.split(".") for name in self.commands]
        return {".".join(parts[:end]) for parts in names for end in range(len(parts))}

    def place(self, console: str) -> Place:
        meta: dict[str, Json] = {
            "commands": [
                {"id": name, "aliases": list(more), "scope": "global" if name in self.everywhere else "console"}
                for name, more in self.commands.items()
            ],
            "consoles": [{"path": path} for path in sorted(self.consoles)],
        }
        return Place(Catalog(meta), VERBS, self.aliases, console)

    def meant(self, name: str, console: str) -> str | None:
        """The command a name stands for, by the simplest means there are."""
        known = {**{more: name for name, others in self.commands.items() for more in others}}
        known |= {name: name for name in self.commands}
        if name.startswith("."):
            return known.get(name[1:])
        parts = console.split(".") if console else []
        for depth in range(len(parts), -1, -1):
            full = ".".join([*parts[:depth], name])
            if full in known:
                return known[full]
        return next((c for c in self.commands if c in self.everywhere and c.split(".")[-1] == name), None)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = draw(st.lists(DOTTED, min_size=1, max_size=8, unique=True))
    split = draw(st.integers(1, len(names)))
    commands: dict[str, list[str]] = {name: [] for name in names[:split]}
    for name in names[split:]:
        commands[draw(st.sampled_from(names[:split]))].append(name)
    everywhere = frozenset(name for name in commands if draw(st.booleans()))
    aliases = draw(st.dictionaries(st.sampled_from([*SEGMENTS, "c"]), st.just("a.b x"), max_size=2))
    return World(commands, everywhere, aliases)


CONSOLES = st.just("") | DOTTED
TYPED = DOTTED | DOTTED.map(".".__add__)


@settings(max_examples=many(150))
@given(worlds(), CONSOLES, TYPED)
def test_a_name_stands_for_one_command(world: World, console: str, name: str) -> None:
    entry = world.place(console).catalog.find(name, console)
    assert (entry.id if entry is not None else None) == world.meant(name, console)


@settings(max_examples=many(150))
@given(worlds(), CONSOLES, TYPED)
def test_what_a_line_begins_with(world: World, console: str, name: str) -> None:
    """The shell's own words first, then aliases, then commands; quotes ask for a command."""
    place = world.place(console)
    reading = read(f"{name} x", place)
    is_own = name in VERBS and (name != "back" or bool(console))
    if is_own:
        assert (reading.kind, reading.verb) == ("verb", VERBS[name])
    elif name in world.aliases:
        expected = world.meant("a.b", console)
        assert reading.entry is None if expected is None else reading.entry is place.catalog.get(expected)
        assert [word.text for word in reading.words] == ["x", "x"]
    else:
        expected = world.meant(name, console)
        assert reading.kind == ("undefined" if expected is None else "entry")
        assert (reading.entry.id if reading.entry else None) == expected
    for quoted in (f"'{name}' x", f'"{name}" x', f"\\{name} x"):
        reading = read(quoted, place)
        assert (reading.entry.id if reading.entry else None) == world.meant(name, console)
        assert reading.verb is None


@settings(max_examples=many(100))
@given(worlds(), CONSOLES)
def test_each_command_is_shown_by_a_name_that_stands_for_it_here(world: World, console: str) -> None:
    place = world.place(console)
    for found in place.catalog.names(console, place.is_own):
        assert read(found.shown, place).entry is found.entry
    assert {found.entry.id for found in place.catalog.names(console)} == set(world.commands)
    here = {found.entry.id: found.shown for found in place.catalog.here(console, place.is_own)}
    within = {name for name in world.commands if ".".join(name.split(".")[:-1]) == console}
    assert set(here) == within | world.everywhere
    for name, shown in here.items():
        last = name.split(".")[-1]
        assert shown == last or place.is_own(last) or world.meant(last, console) != name


@settings(max_examples=many(100))
@given(worlds(), CONSOLES, TYPED)
def test_a_name_stands_for_one_console(world: World, console: str, name: str) -> None:
    found = world.place(console).catalog.find_console(name, console)
    parts = console.split(".") if console else []
    above = [".".join([*parts[:depth], name]) for depth in range(len(parts), -1, -1)]
    wanted = [name[1:]] if name.startswith(".") else above
    assert found == next((path for path in wanted if path in world.consoles), None)
    catalog = world.place(console).catalog
    others = [(catalog.find_console(shown, console), other.path) for shown, other in catalog.others(console)]
    assert all(stands_for == path for stands_for, path in others)
    assert {path for _, path in others} == world.consoles - {"", console}
    below = {c.path for c in world.place(console).catalog.below(console)}
    assert below == {path for path in world.consoles if path and ".".join(path.split(".")[:-1]) == console}


@settings(max_examples=many(100))
@given(worlds(), CONSOLES, TYPED)
def test_of_a_name_that_is_none_something_is_said(world: World, console: str, name: str) -> None:
    place = world.place(console)
    fault = check(f"{name} x", place, whole=True)
    if name not in world.aliases and read(f"{name} x", place).kind == "undefined":
        assert fault == unknown(name, place)
        assert check(name, place, whole=False) is None
        assert check(f"{name} ", place, whole=False) == unknown(name, place)
        assert explained(name, place) is None or place.catalog.find_console(name, console) is not None


WATER = World({"plant.pump.start": [], "plant.pump.stop": ["halt"], "plant.status": []}, frozenset())


@pytest.mark.parametrize(
    ("name", "console", "sentence"),
    [
        ("strat", "plant.pump", "there is no command 'strat'; did you mean start?"),
        ("plant.pump.strt", "", "there is no command 'plant.pump.strt'; did you mean plant.pump.start"),
        ("start", "", "there is no command 'start'; did you mean plant.pump.start?"),
        ("jbos", "", "there is no command 'jbos'; did you mean jobs?"),
        ("pump", "plant", "pump is a console: use pump"),
        ("back", "", "back is for the other consoles: this is the main one, and quit ends the shell"),
        ("zzzzz", "", "there is no command 'zzzzz'; help lists them"),
        ("x" * 10_000, "", "help lists them"),
    ],
)
def test_the_nearest_names(name: str, console: str, sentence: str) -> None:
    assert sentence in unknown(name, WATER.place(console))


def test_an_alias_counts_once_and_only_as_the_whole_first_word() -> None:
    world = World(
        {"a": [], "b": []}, frozenset(), {"a": "a first", "s": "!ls", "bg": "b &", "open": "b 'x", "jobs": "b"}
    )
    place = world.place("")
    assert [word.text for word in read("a second", place).words] == ["first", "second"]
    assert [word.text for word in read("b a", place).words] == ["a"]
    assert [word.text for word in read("'a' x", place).words] == ["x"]
    assert read("s -l", place).statement.text == "ls -l"
    assert read("bg", place).statement.background
    assert read("jobs", place).kind == "verb"
    opened = read("open y' z", place)
    assert [word.text for word in opened.words] == ["x y", "z"]
    assert opened.shift == len("b 'x") - len("open")


def test_an_alias_may_begin_with_another_one() -> None:
    aliases = {"w": "a wide", "ww": "w x &", "say": "ww", "one": "two 1", "two": "one 2", "nothing": "nothing"}
    place = World({"a": []}, frozenset(), aliases).place("")
    for name in ("ww", "say"):
        reading = read(f"{name} ", place)
        assert ([word.text for word in reading.words], reading.statement.background) == (["wide", "x"], True)
    assert [word.text for word in read("say y", place).words] == ["wide", "x", "&", "y"]
    assert read("say y", place).shift == len("a wide x & y") - len("say y")
    assert read("one z", place).statement.text == "one 2 1 z"
    assert "did you mean" not in unknown("nothing", place)


def test_words_behind_the_name_of_an_alias_are_taken_as_they_are() -> None:
    place = WATER.place("")
    assert read("alias ll jobs --all -x", place).argv == ["ll", "--", "jobs", "--all", "-x"]
    assert read("alias ll", place).argv == ["ll"]
    assert check("alias ll jobs --all -x", place, whole=True) is None
    assert check("alias ll jobs --al", place, whole=False) is None


def test_back_is_a_word_only_where_there_is_somewhere_to_go() -> None:
    assert read("back", WATER.place("plant")).kind == "verb"
    assert read("back", WATER.place("")).kind == "undefined"
    assert "\n  back " in overview(WATER.place("plant"))
    assert "\n  back " not in overview(WATER.place(""))


def test_a_console_that_takes_any_line() -> None:
    for accepts in (True, "system"):
        meta: dict[str, Json] = {
            "commands": [{"id": "x.y"}],
            "consoles": [{"path": ""}, {"path": "x", "accept_undefined": accepts, "on_miss": "x.y"}],
        }
        place = Place(Catalog(meta), VERBS, {}, "x")
        assert check("it's anything", place, whole=True) is None
        assert check("anything ", place, whole=False) is None
        assert check("anything ", place._replace(console=""), whole=False) is not None
