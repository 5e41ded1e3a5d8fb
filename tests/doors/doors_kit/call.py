"""One invocation as data, whatever door it is for, and the equal ways to say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from trunnion.arguments import Parameters, join_line
from trunnion.model.errors import InvalidArguments
from trunnion.model.json import Json, encode
from trunnion.model.runs import Invocation

FOLDER = "/usr"
"""Where a launcher stands, when it matters."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks for.

    Attributes:
        who: a principal of the test's directory, ``""`` for the owner of the data directory.
        args, argv, line: one way of giving arguments, or none.
        cwd: the folder that relative names of files are relative to.
        cancel: the caller waits until the command is at work, then cancels it.
    """

    kind: Literal["command", "query"] = "command"
    name: str
    who: str = ""
    args: dict[str, Json] | None = None
    argv: tuple[str, ...] | None = None
    line: str | None = None
    revision: str | None = None
    timeout: float | None = None
    labels: dict[str, str] = {}
    cancel: bool = False
    cwd: str | None = None

    def invocation(self, key: str | None) -> Invocation:
        """For doors that take one as it is."""
        return Invocation(
            command_id=self.name, args=self.args, argv=self.argv, line=self.line, revision=self.revision,
            timeout=self.timeout, labels=self.labels, idempotency_key=key, cwd=self.cwd,
        )  # fmt: skip


def words_of(args: dict[str, Json], parameters: Parameters) -> tuple[str, ...] | None:
    """The words that stand for arguments given by name; None where no words do."""
    words = [word for name, value in args.items() for word in _words(name, value)]
    try:
        parsed = parameters.parse(words)
        # 1 and 1.0 and true are equal in Python, not in JSON.
        return tuple(words) if encode_sorted(parsed) == encode_sorted(args) else None
    except (InvalidArguments, UnicodeEncodeError, OverflowError):
        return None


def _words(name: str, value: Json) -> Sequence[str]:
    option = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [option if value else f"--no-{option[2:]}"]
    if isinstance(value, str):
        return [f"{option}={value}"]
    return [f"{option}={encode(value).decode()}"]


def encode_sorted(value: Json) -> bytes:
    """JSON with members in order, for comparing."""
    return msgspec.json.encode(value, order="sorted")


def ways(call: Call, parameters: Parameters | None) -> list[Call]:
    """The call itself, and the same said otherwise: as words, as a line."""
    argv = call.argv
    if argv is None and call.args is not None and parameters is not None:
        argv = words_of(call.args, parameters)
    found = [call]
    if argv is not None and call.argv is None:
        found.append(msgspec.structs.replace(call, args=None, argv=argv))
    if argv is not None and call.kind == "command":
        found.append(msgspec.structs.replace(call, args=None, argv=None, line=join_line(argv)))
    return found
