"""Secret arguments without a trace: never on the command line, where every process can read them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from trunnion.model.errors import InvalidArguments, TrunnionError

if TYPE_CHECKING:
    from trunnion.launcher.options import Options
    from trunnion.model.json import Json


LONGEST = 1 << 20
"""Characters of a secret: a file may never end."""


def words_for(given: Sequence[str]) -> list[str]:
    """The words that stand for ``--secret`` options, sent to the host and shown nowhere.

    Args:
        given: each ``NAME`` (asked for on the terminal), ``NAME=env:VARIABLE``, ``NAME=file:PATH`` or
            ``NAME=-`` (one line of standard input).

    Raises:
        InvalidArguments: a source cannot be read.
    """
    return [_word(*option.partition("=")[::2]) for option in given]


def entries_for(argument: str, given: Sequence[str]) -> list[str]:
    """The words that give ``--secret`` options as entries of one argument, for a command that takes those of another.

    Raises:
        InvalidArguments: a source cannot be read.
    """
    import json

    named = [option.partition("=")[::2] for option in given]
    return [_word_of(argument, f"{name}={json.dumps(_value(name, source))}") for name, source in named]


def asked_twice(names: Iterable[str]) -> list[str]:
    """The words for secret arguments that the person at the terminal types, each twice.

    Raises:
        InvalidArguments: nobody is there to ask, or the two are not the same.
    """
    return [_word_of(name, _asked(name, again=True)) for name in names]


def refuse_in(argv: Sequence[str], names: Iterable[str]) -> None:
    """Refuse secret arguments on the command line.

    Raises:
        InvalidArguments: one is there.
    """
    for name in names:
        option = _option(name)
        if any(word == option or word.startswith(f"{option}=") for word in argv):
            raise InvalidArguments(
                f"{option} on the command line can be read by every process: leave it out and it is asked for, "
                f"or give its source with --secret {name}=env:VARIABLE, file:PATH or -"
            )


def refuse_unknown(given: Iterable[str], names: Sequence[str]) -> None:
    """Refuse sources for secret arguments that there are not, before anybody is asked for those there are.

    Raises:
        InvalidArguments: one is given.
    """
    for name in given:
        if name not in names:
            raise InvalidArguments(f"--secret {name}: there is no such secret argument but {', '.join(names)}")


def missing(options: Options, command_id: str, error: TrunnionError) -> list[str]:
    """Ask the person at the terminal for required secret arguments that a refused call lacked.

    Returns:
        The words to add; none when that is not why it was refused, or nobody is there to ask.
    """
    problems = error.details.get("problems")
    if error.code != "invalid_arguments" or not isinstance(problems, Sequence) or not sys.stdin.isatty():
        return []
    named = {str(problem.get("path")) for problem in problems if isinstance(problem, Mapping)}
    wanted = [name for name in _required_secrets(options, command_id) if name in named]
    return [_word(name, "") for name in wanted] if len(wanted) == len(problems) else []


def _required_secrets(options: Options, command_id: str) -> list[str]:
    from trunnion.launcher.look import describe

    commands = describe(options).get("commands")
    for entry in commands if isinstance(commands, Sequence) else ():
        if isinstance(entry, Mapping) and entry.get("id") == command_id:
            return _secrets(entry.get("args"))
    return []


def _secrets(schema: Json) -> list[str]:
    if not isinstance(schema, Mapping):
        return []
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, Mapping) or not isinstance(required, Sequence):
        return []
    found = {name: properties.get(str(name)) for name in required}
    return [str(name) for name, part in found.items() if isinstance(part, Mapping) and part.get("writeOnly")]


def _word(name: str, source: str) -> str:
    return _word_of(name, _value(name, source))


def _word_of(name: str, value: str) -> str:
    return f"{_option(name)}={value}"


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _value(name: str, source: str) -> str:
    kind, _, place = source.partition(":")
    if source == "":
        return _asked(name)
    if source == "-":
        return sys.stdin.readline().rstrip("\n")
    if kind == "env":
        if place not in os.environ:
            raise InvalidArguments(f"--secret {name}: there is no environment variable {place}")
        return os.environ[place]
    if kind == "file":
        try:
            with open(place, encoding="utf-8") as file:  # noqa: PTH123  # pathlib costs every start
                text = file.read(LONGEST + 1)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InvalidArguments(f"--secret {name}: {place} cannot be read: {reason}") from None
        if len(text) > LONGEST:
            raise InvalidArguments(f"--secret {name}: {place} holds more than {LONGEST} characters")
        return text.rstrip("\n")
    raise InvalidArguments(f"--secret {name}: a source is env:VARIABLE, file:PATH or -, not what was given")


def _asked(name: str, *, again: bool = False) -> str:
    import getpass

    if not sys.stdin.isatty():
        raise InvalidArguments(f"--secret {name}: nobody is there to ask; say env:VARIABLE, file:PATH or -")
    typed = getpass.getpass(f"{name}: ")
    if again and getpass.getpass(f"{name} again: ") != typed:
        raise InvalidArguments(f"the two {name}s are not the same")
    return typed
