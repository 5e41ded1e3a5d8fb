"""The one parser of command lines, built on click: words in, arguments by name out.

Positional arguments take words in order; every argument can also be given as ``--name value`` or
``--name=value``. A truth value is a flag, ``--name`` or ``--no-name``. After ``--`` nothing is an option.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import click
import msgspec

from trunnion.arguments.plan import Argument, Plan
from trunnion.arguments.problems import Problem, describe, invalid, show, unknown
from trunnion.arguments.text import list_of, object_of, types_of, value_of
from trunnion.arguments.walk import resolve
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json

_number = re.compile(r"-\.?[0-9]")
_unfit = re.compile(r"[\s=_]+")


def looks_like_option(word: str) -> bool:
    """Whether a word that is no option's value is taken for an option, unless it stands behind ``--``."""
    return word.startswith("-") and len(word) > 1 and not _number.match(word)


class ArgvShape(msgspec.Struct, frozen=True):
    """What may be given by position.

    Attributes:
        min: at least so many words.
        max: at most so many, None where there is no end.
        variadic: whether the last name takes all further words.
        positional: names of the arguments, in order.
    """

    min: int
    max: int | None
    variadic: bool
    positional: tuple[str, ...] = ()


class Slot(msgspec.Struct, frozen=True):
    """How one argument appears on a command line."""

    argument: Argument
    option: str
    kind: str

    @property
    def flag(self) -> bool:
        """Whether it is a flag, which takes no word after it."""
        return self.kind == "flag"

    @property
    def repeatable(self) -> bool:
        """Whether its option may be given more than once."""
        return self.kind in ("list", "object")

    @property
    def spellings(self) -> tuple[str, ...]:
        """What stands for it among the options, the negation of a flag included."""
        return (f"--{self.option}", f"--no-{self.option}") if self.flag else (f"--{self.option}",)


def shape_of(plan: Plan) -> ArgvShape:
    """How many words the positional arguments of a plan take."""
    by_name = {argument.name: argument for argument in plan.arguments}
    variadic = bool(plan.words) and _kind(plan, by_name[plan.words[-1]]) == "list"
    least = sum(by_name[name].required for name in plan.words)
    return ArgvShape(least, None if variadic else len(plan.words), variadic, tuple(plan.words))


def _kind(plan: Plan, argument: Argument) -> str:
    types = types_of(plan.schema, argument.schema) - {"null"}
    return {frozenset({"boolean"}): "flag", frozenset({"array"}): "list", frozenset({"object"}): "object"}.get(
        types, "value"
    )


class Command:
    """The command line of one plan.

    Raises:
        InvalidArguments: two arguments would have the same option, or a positional one is not declared.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.slots = {a.name: Slot(a, _option_name(a.name), _kind(plan, a)) for a in plan.arguments}
        self.words = plan.words
        self.shape = shape_of(plan)
        self.by_spelling = dict(self._spellings())

    def _spellings(self) -> Iterator[tuple[str, Slot]]:
        taken: dict[str, Slot] = {}
        for slot in self.slots.values():
            for spelling in slot.spellings:
                if (other := taken.setdefault(spelling, slot)) is not slot:
                    names = f"{other.argument.name!r} and {slot.argument.name!r}"
                    message = f"{self.plan.where}: the arguments {names} would both be {spelling} on a command line"
                    raise InvalidArguments(message, {"problems": [{"path": slot.argument.name, "message": message}]})
                yield spelling, slot

    @cached_property
    def parser(self) -> click.Command:
        """The click command; made when a line is first parsed."""
        options: list[click.Parameter] = [self._click_option(slot) for slot in self.slots.values()]
        words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)
        settings = {"ignore_unknown_options": True, "help_option_names": [], "auto_envvar_prefix": None}
        return click.Command(
            self.plan.where, context_settings=settings, params=[*options, words], add_help_option=False
        )

    def _click_option(self, slot: Slot) -> click.Option:
        key = _key(self, slot)
        if slot.flag:
            return click.Option(["/".join(slot.spellings), key], default=None)
        return click.Option([*slot.spellings, key], type=click.UNPROCESSED, multiple=True)

    def takes_value(self, word: str) -> bool:
        """Whether a word is an option whose value is the next word."""
        slot = self.by_spelling.get(word)
        return slot is not None and not slot.flag

    def parse(self, argv: Sequence[str]) -> dict[str, Json]:
        """Read words as arguments by name; validation comes after."""
        args, words = self.taken_apart(argv)
        return {**args, **self.positional(words, args)}

    def taken_apart(self, argv: Sequence[str]) -> tuple[dict[str, Json], list[str]]:
        """The arguments given as options, and the words left over for those by position."""
        _check_unicode(argv)
        head, tail = self._prepared(argv)
        try:
            context = self.parser.make_context(self.plan.where, head, resilient_parsing=False)
        except click.UsageError as error:
            raise invalid([Problem("", error.format_message().rstrip("."))]) from None
        given: Mapping[str, object] = context.params
        return dict(self._options(given)), [*self._plain_words(_texts(given["words"])), *tail]

    def _prepared(self, argv: Sequence[str]) -> tuple[list[str], list[str]]:
        """Cut at ``--``, and spell ``--flag=value``, which click does not know, as the flag."""
        head: list[str] = []
        words = iter(argv)
        for word in words:
            if word == "--":
                break
            name, equals, value = word.partition("=")
            slot = self.by_spelling.get(name)
            if slot is None or not slot.flag or not equals:
                head.append(word)
            else:
                head.append(self._flag_word(slot, name, value))
            if slot is not None and not slot.flag and not equals:
                head.extend(next(([value] for value in words), []))
        return head, list(words)

    def _flag_word(self, slot: Slot, name: str, text: str) -> str:
        value = value_of(self.plan.schema, {"type": "boolean"}, text)
        if not isinstance(value, bool):
            raise invalid([Problem(slot.argument.name, f"expected true or false after {name}=")])
        return slot.spellings[0 if value is (name == slot.spellings[0]) else 1]

    def _options(self, given: Mapping[str, object]) -> Iterator[tuple[str, Json]]:
        for name, slot in self.slots.items():
            value = given[_key(self, slot)]
            if isinstance(value, bool):
                yield name, value
            elif texts := _texts(value):
                if len(texts) > 1 and not slot.repeatable:
                    raise invalid([Problem(name, f"{slot.spellings[0]} is given {len(texts)} times, once is allowed")])
                yield name, self.value(slot, texts)

    def value(self, slot: Slot, texts: Sequence[str]) -> Json:
        """The JSON value that one argument's words stand for."""
        schema = slot.argument.schema
        if slot.kind == "list":
            return list_of(self.plan.schema, schema, texts)
        if slot.kind == "object":
            return object_of(self.plan.schema, schema, texts)
        return value_of(self.plan.schema, schema, texts[0])

    def _plain_words(self, words: Sequence[str]) -> list[str]:
        for word in words:
            if looks_like_option(word):
                name = word.partition("=")[0]
                sentence = unknown(name, list(self.by_spelling), f"there is no option {name}")
                raise invalid([Problem("", f"{sentence} (a word that begins with '-' goes after --)")])
        return list(words)

    def positional(self, words: list[str], args: Mapping[str, Json]) -> dict[str, Json]:
        """The arguments given by position, beside those given as options."""
        found: dict[str, Json] = {}
        for name in self.open_words(args):
            if not words:
                break
            last = self.shape.variadic and name == self.words[-1]
            taken, words = (words, []) if last else (words[:1], words[1:])
            found[name] = self.value(self.slots[name], taken)
        if words:
            raise invalid([Problem("", self._too_many(words, args))])
        return found

    def open_words(self, given: Mapping[str, Json]) -> list[str]:
        """The positional arguments that are not given as options, in order."""
        return [name for name in self.words if name not in given]

    def _too_many(self, words: Sequence[str], args: Mapping[str, Json]) -> str:
        names = ", ".join(self.open_words(args))
        takes = f"it takes {names} by position" if names else "it takes no words by position"
        return f"{len(words)} words too many; {takes}" if len(words) > 1 else f"one word too many; {takes}"

    def usage(self, name: str, width: int) -> str:
        """Help for a person."""
        formatter = click.HelpFormatter(width=width)
        words = [self._metavar(word) for word in self.words]
        options = [slot for slot in self.slots.values() if slot.argument.name not in self.words]
        formatter.write_usage(name, " ".join([*words, "[OPTIONS]"] if options else words))
        for title, slots in (("Arguments", [self.slots[word] for word in self.words]), ("Options", options)):
            rows = [(self._label(slot), self._help(slot.argument)) for slot in slots]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        return formatter.getvalue().rstrip("\n")

    def _metavar(self, word: str) -> str:
        label = word.upper() + ("..." if self.shape.variadic and word == self.words[-1] else "")
        return label if self.slots[word].argument.required else f"[{label}]"

    def _label(self, slot: Slot) -> str:
        if slot.argument.name in self.words:
            return slot.argument.name.upper()
        if slot.flag:
            return " / ".join(slot.spellings)
        return f"{slot.spellings[0]} {'KEY=VALUE' if slot.kind == 'object' else 'VALUE'}"

    def _help(self, argument: Argument) -> str:
        expected = describe(resolve(self.plan.schema, argument.schema))
        parts = [argument.description, f"({expected})" if expected else "", self._notes(argument)]
        return "  ".join(part for part in parts if part)

    def _notes(self, argument: Argument) -> str:
        notes = ["required"] if argument.required else []
        notes += ["secret"] if argument.secret else []
        if argument.default not in (msgspec.UNSET, None, "", []):
            notes.append(f"default: {msgspec.json.encode(argument.default).decode()}")
        return f"[{', '.join(notes)}]" if notes else ""


def _option_name(name: str) -> str:
    return _unfit.sub("-", name).strip("-")


def _key(command: Command, slot: Slot) -> str:
    """The name click knows an option by; those of arguments need not be identifiers."""
    return f"option{list(command.slots).index(slot.argument.name)}"


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, tuple) else []


def _check_unicode(argv: Sequence[str]) -> None:
    for word in argv:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise invalid([Problem("", f"the word {show(word)} is not valid Unicode text")]) from None
