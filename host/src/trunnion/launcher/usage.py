"""``--help`` after the name of a command or query: its own help, from the host's description of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from trunnion.model.errors import NotFound, TrunnionError
from trunnion.model.json import Json
from trunnion.model.names import nearest

if TYPE_CHECKING:
    from trunnion.launcher.options import Options
    from trunnion.launcher.screen import Screen

Kind = Literal["commands", "queries"]
WIDTH = 100
"""Columns of help where there is room: longer lines are hard to read."""
VERBS: Mapping[Kind, str] = {"commands": "run", "queries": "query"}


def wants_usage(argv: Sequence[str]) -> bool:
    """Whether ``--help`` is among the words, before any ``--``."""
    words = list(argv)
    return "--help" in (words[: words.index("--")] if "--" in words else words)


def with_hint(error: TrunnionError, verb: str, name: str, argv: Sequence[str]) -> TrunnionError:
    """The same error, with a word about ``--json`` where it was meant for the launcher."""
    if error.code == "invalid_arguments" and "--json" in argv:
        error.message += f"; for JSON write: trunnion {verb} --json {name} ..."
        error.args = (error.message,)
    return error


def print_usage(options: Options, screen: Screen, kind: Kind, name: str, call: str = "") -> None:
    """Print how a command or query is called; with ``--json`` its descriptor.

    Args:
        options: how the host is found.
        screen: where to.
        kind: which of the two it is.
        name: its id or alias.
        call: how it is called where that is not with ``trunnion run`` or ``trunnion query``.

    Raises:
        NotFound: there is none of that name.
    """
    from trunnion.launcher.look import describe

    entries = _objects(describe(options).get(kind))
    found = next((e for e in entries if name == e.get("id") or name in _strings(e.get("aliases"))), None)
    if found is None:
        known = [str(e.get("id")) for e in entries]
        raise NotFound(f"there is no {_singular(kind)} {name!r}", {"nearest": nearest(name, known)})
    if screen.as_json:
        screen.value(found)
    else:
        width = min(screen.width(), WIDTH) if screen.out_is_terminal else WIDTH
        screen.out(usage(found, call or f"trunnion {VERBS[kind]} {found['id']}", width=width))


def usage(descriptor: Mapping[str, Json], call: str, *, in_shell: bool = False, width: int = WIDTH) -> str:
    """Help for a person.

    Args:
        descriptor: of a command or query, as in meta.
        call: how it is called, without arguments.
        in_shell: whether that is at the prompt of a shell, which asks for secrets itself.
        width: columns of its lines.
    """
    from trunnion.arguments.parameters import compile_parameters

    schema = descriptor.get("args")
    argv = descriptor.get("argv")
    positional = tuple(_strings(argv.get("names"))) if isinstance(argv, Mapping) else ()
    told = schema if isinstance(schema, Mapping) else {}
    parameters = compile_parameters(_nothing, told, positional, judged=True)
    about = str(descriptor.get("description") or descriptor.get("title") or "").partition("\n\nArgs:")[0]
    examples = "".join(f"\n  {example}" for example in _strings(descriptor.get("examples")))
    said = _on_secrets(schema, call, in_shell=in_shell)
    parts = [about, parameters.usage(call, width), said, f"Examples:{examples}" if examples else ""]
    return "\n\n".join(part for part in parts if part).replace("``", "'") + "\n"


def _on_secrets(schema: Json, call: str, *, in_shell: bool) -> str:
    """How secret texts among the arguments are given; ``""`` where there are none."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    named = properties.items() if isinstance(properties, Mapping) else ()
    secret = [name for name, part in named if isinstance(part, Mapping) and part.get("writeOnly") and "type" in part]
    if not secret:
        return ""
    if in_shell:
        return (
            f"Secret, so never typed in a line: {', '.join(secret)}. It is asked for where it is needed, or comes "
            f"from {secret[0]}=env:VARIABLE or {secret[0]}=file:PATH"
        )
    verb = f"trunnion {VERBS['commands']} "
    option = f"--secret {secret[0]}=env:VARIABLE"
    example = f"{verb}{option} {call.removeprefix(verb)} ..." if call.startswith(verb) else f"{call} {option} ..."
    return (
        f"Secret, so never on the command line: {', '.join(secret)}. It is asked for on a terminal, or comes from\n"
        f"env:VARIABLE, file:PATH or - (standard input):\n  {example}"
    )


def _nothing(args: Mapping[str, Json]) -> None:
    """Stands for the handler, which is in the host."""


def _singular(kind: Kind) -> str:
    return "command" if kind == "commands" else "query"


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, Sequence) else []


def _strings(value: Json) -> list[str]:
    return [str(entry) for entry in value] if isinstance(value, Sequence) and not isinstance(value, str) else []
