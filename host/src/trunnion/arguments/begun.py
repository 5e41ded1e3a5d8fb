"""What is wrong with a command line that is still being typed, whatever may follow.

An option may yet come and take the argument that a word by position seems to be; lists and objects may grow. So only
what no continuation puts right is a fault here, and everything else has to wait for the whole line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from trunnion.arguments.argv import Command, Slot
from trunnion.arguments.problems import Problem, invalid
from trunnion.arguments.text import part_with
from trunnion.arguments.walk import is_list
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json

Judge = Callable[[str, Json], Problem | None]
"""Says what is wrong with the value of one argument by itself."""


class Begun(NamedTuple):
    """A command line as far as it is typed.

    Attributes:
        refused: why nothing that follows makes it a good one; None if something may.
        given: the arguments that whatever follows leaves as they are.
    """

    refused: InvalidArguments | None
    given: dict[str, Json]


def begun(command: Command, judge: Judge, argv: Sequence[str]) -> Begun:
    """Look at whole words; the last one may be an option whose value is still to come."""
    words = _without_pending(command, argv)
    try:
        options, plain = command.taken_apart(words)
        command.positional(plain, options)
    except InvalidArguments as error:
        return Begun(error, {})
    settled, open_to = _assigned(command, plain, options)
    certain = {name: value for name, value in options.items() if not command.slots[name].repeatable}
    certain |= settled
    problems = [problem for name, value in certain.items() if (problem := judge(name, value)) is not None]
    problems += _of_items(command, judge, options)
    problems += [problem for word, slots in open_to if (problem := _of_word(command, judge, word, slots)) is not None]
    return Begun(invalid(problems) if problems else None, certain)


def _without_pending(command: Command, argv: Sequence[str]) -> Sequence[str]:
    words = iter(argv)
    for word in words:
        if word == "--":
            break
        if command.takes_value(word) and next(words, None) is None:
            return argv[:-1]
    return argv


def _assigned(
    command: Command, plain: Sequence[str], options: dict[str, Json]
) -> tuple[dict[str, Json], list[tuple[str, list[Slot]]]]:
    """Words by position that can be one argument only, and the others with all they may come to be."""
    slots = [command.slots[name] for name in command.open_words(options)]
    settled: dict[str, Json] = {}
    unsettled: list[tuple[str, list[Slot]]] = []
    # Of the arguments still open, as many may be taken by options as there are more of them than words; where the last
    # one takes all words that are left, any.
    spare = len(slots) if slots and _takes_all(command, slots[-1]) else max(len(slots) - len(plain), 0)
    for number, word in enumerate(plain):
        possible = slots[min(number, len(slots) - 1) : number + spare + 1]
        if len(possible) == 1 and not _takes_all(command, possible[0]):
            settled[possible[0].argument.name] = command.value(possible[0], [word])
        else:
            unsettled.append((word, possible))
    return settled, unsettled


def _takes_all(command: Command, slot: Slot) -> bool:
    """Whether an argument takes all words that are left."""
    return command.shape.variadic and slot.argument.name == command.words[-1]


def _of_items(command: Command, judge: Judge, options: dict[str, Json]) -> Iterator[Problem]:
    """Of lists given by options."""
    for name, value in options.items():
        if (problem := _of_item(command, judge, command.slots[name], value)) is not None:
            yield problem


def _of_item(command: Command, judge: Judge, slot: Slot, value: Json) -> Problem | None:
    """What is wrong with an item of a list. There are several: one alone may be a whole list, written as JSON."""
    if slot.kind != "list" or not is_list(value) or len(value) < 2:
        return None
    if "prefixItems" in part_with(command.plan.schema, slot.argument.schema, "array"):
        return None
    problem = judge(slot.argument.name, value)
    return problem if problem is not None and problem.path.startswith(f"{slot.argument.name}[") else None


def _of_word(command: Command, judge: Judge, word: str, slots: Sequence[Slot]) -> Problem | None:
    """What is wrong with a word for each argument it may come to be; of several problems the first."""
    found: Problem | None = None
    for slot in slots:
        problem = _of_one(command, judge, word, slot)
        if problem is None:
            return None
        found = found or problem
    return found


def _of_one(command: Command, judge: Judge, word: str, slot: Slot) -> Problem | None:
    alone = judge(slot.argument.name, command.value(slot, [word]))
    if alone is None or not _takes_all(command, slot):
        return alone
    return _of_item(command, judge, slot, command.value(slot, [word, word]))
