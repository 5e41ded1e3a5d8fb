"""From a script and validated arguments to what the keeper starts. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from trunnion import InvalidArguments, Json
from trunnion.kernel.programs import passed
from trunnion.process import Spawn
from trunnion_scripts.declaration import Script
from trunnion_scripts.template import as_text, invalid, text_of, words


class Request(msgspec.Struct, frozen=True):
    """What to start, and what to write to its standard input."""

    spawn: Spawn
    stdin: bytes


def request(script: Script, values: Mapping[str, Json], environ: Mapping[str, str]) -> Request:
    """Fill a script with arguments.

    Args:
        script: what to run.
        values: validated arguments by name.
        environ: the host's own environment.

    Raises:
        InvalidArguments: a value would become an option of the program, or holds a NUL character.
    """
    said = script.said
    stdin = _stdin(script, values)
    argv = words(script.run, values, {name for name, key in script.keys.items() if key.option})
    env = {**passed(environ, said.pass_env), **_variables(script, values)}
    _refuse_nul(values)
    spawn = Spawn(
        argv=tuple(argv),
        env=env,
        cwd=said.cwd or script.folder or os.getcwd(),  # noqa: PTH109
        stdin="pipe" if stdin else "null",
        limits=said.limits,
        umask=int(said.umask, 8) if said.umask else None,
        drain_grace=said.drain_grace,
    )
    return Request(spawn, stdin)


def problem(script: Script, values: Mapping[str, object]) -> str | None:
    """Why these arguments cannot be used, for the refusal before anything runs."""
    try:
        request(script, msgspec.to_builtins(values), {})
    except InvalidArguments as error:
        return error.message
    return None


def _stdin(script: Script, values: Mapping[str, Json]) -> bytes:
    given = [as_text(values[name]) for name, key in script.keys.items() if key.stdin and values.get(name) is not None]
    return "".join([*given, text_of(script.stdin, values) if script.stdin else ""]).encode("utf-8", "surrogateescape")


def _variables(script: Script, values: Mapping[str, Json]) -> dict[str, str]:
    fixed = {name: text_of(word, values) for name, word in script.env.items()}
    given = {
        key.env: as_text(values[name]) for name, key in script.keys.items() if key.env and values.get(name) is not None
    }
    return {**fixed, **given}


def _refuse_nul(values: Mapping[str, Json]) -> None:
    for name, value in values.items():
        items = value if isinstance(value, list | tuple) else [value]
        if any("\0" in as_text(item) for item in items):
            raise invalid(name, "it holds a NUL character, which no program can be given")
