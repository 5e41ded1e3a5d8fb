"""What a line leaves out: secrets, which are asked for or come from where the line says they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from trunnion import Json
from trunnion_tty.catalog import Entry


async def with_secrets(
    entry: Entry,
    args: Mapping[str, Json],
    ask: Callable[[str], Awaitable[str]],
    read: Callable[[str, str], Awaitable[str]],
) -> dict[str, Json]:
    """Arguments with all secrets that are needed.

    Args:
        entry: the command.
        args: as the line gives them; a secret is there as the place it is in.
        ask: asks the person for a secret of this name.
        read: reads a secret of this name from a place such as ``env:VARIABLE``.

    Raises:
        InvalidArguments: a place cannot be read, or nobody is there to ask.
        EOFError: the person would not say.
    """
    found = dict(args)
    for name in entry.secrets:
        given = args.get(name)
        if isinstance(given, str):
            found[name] = _meant(entry, name, await read(name, given))
        elif given is None and name in entry.required:
            found[name] = _meant(entry, name, await ask(name))
    return found


async def secrets_again(
    entry: Entry, args: Mapping[str, Json], ask: Callable[[str], Awaitable[str]]
) -> dict[str, Json]:
    """The secrets among the arguments of an earlier run, which nobody has kept.

    Args:
        entry: the command.
        args: of that run, as it is on record.
        ask: asks the person for a secret of this name.

    Raises:
        InvalidArguments: nobody is there to ask.
        EOFError: the person would not say.
    """
    return {name: _meant(entry, name, await ask(name)) for name in entry.secrets if name in args}


def _meant(entry: Entry, name: str, text: str) -> Json:
    """The value a text stands for, as it would on a command line: a number where the argument is one."""
    parameters = entry.parameters
    return text if parameters is None else parameters.parse([f"--{parameters.options[name]}={text}"])[name]
