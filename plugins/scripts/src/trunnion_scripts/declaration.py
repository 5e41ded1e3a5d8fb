"""What a script may declare, as written in a table of TOML, and the checks that make a ``Script`` of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from trunnion import InvalidConfig, Json, JsonObject
from trunnion.model.commands import Effect
from trunnion.model.names import is_dotted
from trunnion.model.runs import Role
from trunnion.process import Limits
from trunnion_scripts.template import ARGUMENT, Word, parse, slots

TAKEN = "list"

Output: TypeAlias = Literal["text", "json", "ndjson"]
Hidden: TypeAlias = Annotated[str, Meta(extra_json_schema={"writeOnly": True})]
Keyword: TypeAlias = Annotated[object, Meta(extra_json_schema={"description": "a keyword of JSON Schema or of ours"})]
Seconds: TypeAlias = Annotated[float, Meta(ge=0)]


class ArgumentKeys(msgspec.Struct, frozen=True):
    """What an argument has beside its JSON Schema property.

    Attributes:
        required: it has to be given.
        flag: it is given as ``--name``, never by position.
        secret: never shown, stored in the clear, or part of the program's words.
        env: it arrives as this variable.
        stdin: it arrives on standard input.
        option: its value may begin with ``-``.
    """

    required: bool = False
    flag: bool = False
    secret: bool = False
    env: str = ""
    stdin: bool = False
    option: bool = False


Code: TypeAlias = Literal["failed", "unavailable", "interrupted", "deadline_exceeded"]
"""How a script can end that may go better another time."""


class Again(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a script that failed is started again, see ``trunnion.Retry``; a failed one says ``failed``."""

    attempts: Annotated[int, Meta(ge=1)] = 3
    delay: Seconds = 1.0
    max_delay: Seconds = 60.0
    codes: tuple[Code, ...] = ("failed", "unavailable")


class Declaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table ``[scripts.<name>]``, or one ``<name>.toml``; the README of this plugin explains each key."""

    run: list[str] = []
    title: str = ""
    description: str = ""
    args: dict[str, dict[str, Keyword]] = {}
    stdin: str = ""
    env: dict[str, Hidden] = {}
    pass_env: list[str] = []
    cwd: str = ""
    umask: Annotated[str, Meta(pattern="^[0-7]{3,4}$")] | None = None
    timeout: Annotated[float, Meta(gt=0)] | None = None
    retry: Again | None = None
    stop_grace: Seconds = 3.0
    drain_grace: Seconds = 1.0
    lock: str | UnsetType = UNSET
    role: Role = "operator"
    expose: list[str] = []
    effect: Effect = "write"
    confirm: str = ""
    limits: Limits = Limits()
    output: Output = "text"


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A declaration that was checked.

    Attributes:
        name: the command is ``scripts.<name>``.
        origin: where it was declared, for people.
        run: parsed words, the first being the program.
        keys: by argument.
        schema: of all arguments together.
        positional: arguments that may be given by position, in order.
    """

    name: str
    origin: str
    said: Declaration
    run: tuple[Word, ...]
    stdin: Word
    env: dict[str, Word]
    keys: dict[str, ArgumentKeys]
    schema: JsonObject
    positional: tuple[str, ...]
    folder: str = ""

    @property
    def id(self) -> str:
        """The command's name."""
        return f"scripts.{self.name}"


def read(name: str, table: Mapping[str, Json], origin: str, program: Path | None = None) -> Script:
    """Check one declaration.

    Args:
        name: of the script.
        table: as written.
        origin: for messages: the key path ``scripts.<name>``, or the file.
        program: the executable a file stands beside.

    Raises:
        InvalidConfig: what is wrong, where, and what was expected; all problems, one a line.
    """
    try:
        said = msgspec.convert(table, Declaration)
    except msgspec.ValidationError as error:
        raise InvalidConfig(_worded(origin, str(error))) from error
    return _Reader(name, origin, said, program).read()


def schema_of_declaration() -> JsonObject:
    """JSON Schema of one table, for the configuration as a whole."""
    _, parts = msgspec.json.schema_components([Declaration], ref_template="{name}")
    cwd = {"type": "string", "format": "path", "default": "."}
    properties = {**parts["Declaration"]["properties"], "limits": parts["Limits"], "retry": parts["Again"], "cwd": cwd}
    return {**parts["Declaration"], "properties": properties}


_KNOWN = Declaration.__struct_fields__


def _worded(origin: str, message: str) -> str:
    """Give msgspec's message our key path: ``… - at `$.args.db` `` becomes ``scripts.dump.args.db: …``."""
    text, _, place = message.partition(" - at `$")
    path = place.rstrip("`")
    if unknown := re.search(r"unknown field `(.*)`", text):
        close = difflib.get_close_matches(unknown[1], _KNOWN, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(_KNOWN)}"
        text = f"unknown key {unknown[1]!r}{hint}"
    return f"{_at(origin, path.removeprefix('.'))}: {text}"


def _at(origin: str, key: str) -> str:
    """A key below a key of the configuration, or in a file of its own."""
    return f"{origin}{': ' if '/' in origin else '.'}{key}" if key else origin


class _Reader:
    """Collects every problem of one declaration."""

    def __init__(self, name: str, origin: str, said: Declaration, program: Path | None) -> None:
        self._name = name
        self._origin = origin
        self._said = said
        self._program = program
        self._problems: list[str] = []

    def read(self) -> Script:
        said = self._said
        if not is_dotted(self._name):
            self._problem("", f"{self._name!r} is no name for a command: a-z, 0-9, '_' and '-', a letter first")
        if self._name == TAKEN:
            self._problem("", f"{TAKEN!r} is the name of this plugin's query scripts.{TAKEN}; give the script another")
        keys = {name: self._keys(name, table) for name, table in said.args.items()}
        run = tuple(self._word(f"run[{at}]", text) for at, text in enumerate(self._words()))
        script = Script(
            name=self._name,
            origin=self._origin,
            said=said,
            run=run,
            stdin=self._word("stdin", said.stdin),
            env={name: self._word(f"env.{name}", text) for name, text in said.env.items()},
            keys=keys,
            schema=_schema(said, keys),
            positional=_positional(said, keys),
            folder=str(self._program.parent) if self._program else "",
        )
        self._check(script)
        if self._problems:
            raise InvalidConfig("\n".join(self._problems), {"problems": list(self._problems)})
        return script

    def _problem(self, key: str, text: str) -> None:
        self._problems.append(f"{_at(self._origin, key)}: {text}")

    def _words(self) -> list[str]:
        said = self._said.run
        if self._program is None:
            if not said or not said[0]:
                self._problem("run", "expected a list of words, the first being the program")
            return said
        beside = f"./{self._program.name}"
        if said and said[0] != beside:
            self._problem("run", f"the first word has to be {beside!r}, the program this file stands beside")
        return [str(self._program).replace("{", "{{").replace("}", "}}"), *said[1:]]

    def _word(self, key: str, text: str) -> Word:
        try:
            return parse(text)
        except ValueError as error:
            self._problem(key, str(error))
            return ()

    def _keys(self, name: str, table: Mapping[str, object]) -> ArgumentKeys:
        if not re.fullmatch(ARGUMENT, name):
            self._problem(f"args.{name}", "a name of an argument has letters, digits, '_' and '-' only")
        try:
            return msgspec.convert(table, ArgumentKeys)
        except msgspec.ValidationError as error:
            text, _, place = str(error).partition(" - at `$")
            self._problem(f"args.{name}{place.rstrip('`')}", text)
            return ArgumentKeys()

    def _check(self, script: Script) -> None:
        if script.run and slots(script.run[0]):
            self._problem("run[0]", "the program itself cannot come from an argument")
        for at, word in enumerate(script.run):
            self._check_word(script, f"run[{at}]", word, secret=False)
        for name, word in script.env.items():
            self._check_word(script, f"env.{name}", word, secret=True)
        self._check_word(script, "stdin", script.stdin, secret=True)
        for name, key in script.keys.items():
            self._check_delivery(script, name, key)
        fed = [name for name, key in script.keys.items() if key.stdin] + (["stdin"] if script.stdin else [])
        if len(fed) > 1:
            self._problem("stdin", f"standard input can come from one place only, not from {' and '.join(fed)}")

    def _check_word(self, script: Script, key: str, word: Word, *, secret: bool) -> None:
        for slot in slots(word):
            argument = script.keys.get(slot.name)
            if argument is None:
                close = difflib.get_close_matches(slot.name, script.keys, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                self._problem(key, f"there is no argument {slot.name!r}{hint}")
                continue
            if argument.secret and not secret and slot.then is None:
                self._problem(key, f"{slot.name!r} is secret and would be visible to every user; use env or stdin")
            is_list = script.said.args[slot.name].get("type") == "array"
            if slot.then is None and slot.spread != is_list:
                wanted = f"{{*{slot.name}}}" if is_list else f"{{{slot.name}}}"
                self._problem(key, f"{slot.name!r} is {'a' if is_list else 'no'} list: write {wanted}")

    def _check_delivery(self, script: Script, name: str, key: ArgumentKeys) -> None:
        texts = [*script.run, script.stdin, *script.env.values()]
        used = any(slot.name == name for word in texts for slot in slots(word))
        if key.secret and not (key.env or key.stdin or used):
            self._problem(f"args.{name}", 'a secret needs a way in: env = "VARIABLE" or stdin = true')
        elif not (used or key.env or key.stdin):
            self._problem(f"args.{name}", "nothing uses it: put it into run, stdin or env")
        if key.env and (key.env in script.said.env or "=" in key.env):
            self._problem(f"args.{name}.env", f"{key.env!r} is set by env already, or is no name of a variable")


def _schema(said: Declaration, keys: Mapping[str, ArgumentKeys]) -> JsonObject:
    ours = ArgumentKeys.__struct_fields__
    properties: dict[str, Json] = {}
    for name, table in said.args.items():
        own = {key: value for key, value in table.items() if key not in ours}
        properties[name] = msgspec.to_builtins({**own, "writeOnly": True} if keys[name].secret else own)
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name, key in keys.items() if key.required],
        "additionalProperties": False,
    }


def _positional(said: Declaration, keys: Mapping[str, ArgumentKeys]) -> tuple[str, ...]:
    """Required ones first, then the others, one list at the end; no flags, truth values or secrets."""
    fit = [
        name for name, key in keys.items() if not (key.flag or key.secret) and said.args[name].get("type") != "boolean"
    ]
    lists = [name for name in fit if said.args[name].get("type") == "array"]
    single = [name for name in fit if name not in lists]
    return (*sorted(single, key=lambda name: not keys[name].required), *lists[:1])
