"""All scripts there are: those of the configuration, and of the folders the last version that could be used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from trunnion import Category, Command, Console, Contributed, InvalidArguments, InvalidConfig, Json, Query, Retry
from trunnion.arguments import compile_parameters
from trunnion_scripts.declaration import Again, Script, read
from trunnion_scripts.folder import Found, Refused, read_folders
from trunnion_scripts.request import problem
from trunnion_scripts.runner import handler_for

NAMED = ("folders", "poll_interval")
PAGE = 100


class Library:
    """What the section ``[scripts]`` and its folders hold.

    Args:
        settings: the section, validated.
        before: what there was with other settings: a file that is unusable meanwhile keeps its last good version.

    Raises:
        InvalidConfig: a script of the configuration cannot be used.
    """

    def __init__(self, settings: Mapping[str, Json], before: Library | None = None) -> None:
        self._configured = [
            _configured(name, table)
            for name, table in settings.items()
            if name not in NAMED and isinstance(table, Mapping)
        ]
        folders = settings.get("folders")
        self.folders = (
            [Path(str(path)).expanduser().absolute() for path in folders] if isinstance(folders, list) else []
        )
        dropped: Mapping[Path, Script] = before._dropped if before is not None else {}
        self._dropped: dict[Path, Script] = {
            file: script for file, script in dropped.items() if file.parent in self.folders
        }
        self.refused: list[Refused] = []
        self._commands: dict[str, tuple[Script, Command]] = {} if before is None else before._commands

    def read_folders(self) -> None:
        """Read the folders now and here; for the start."""
        self.take(read_folders(self.folders))

    def take(self, found: Found) -> list[str]:
        """Replace what the folders hold. A file that became unusable keeps its last good version.

        Returns:
            What changed, for people.
        """
        before = {script.id: script for script in self.scripts()}
        dropped: dict[Path, Script] = {}
        self.refused = []
        taken = {script.name for script in self._configured}
        for file, outcome in found.items():
            checked = _checked(outcome, taken)
            if isinstance(checked, Refused):
                self.refused.append(checked)
                if checked.gone or file not in self._dropped:
                    continue
                checked = self._dropped[file]
            dropped[file] = checked
            taken.add(checked.name)
        self._dropped = dropped
        return _changes(before, {script.id: script for script in self.scripts()})

    def scripts(self) -> list[Script]:
        """All of them, by name."""
        return sorted([*self._configured, *self._dropped.values()], key=lambda script: script.name)

    def contributed(self) -> Contributed:
        """What the registry gets."""
        console = Console(path="scripts", title="Scripts", description="Existing programs as commands")
        self._commands = {script.id: (script, self._command(script)) for script in self.scripts()}
        return Contributed(
            commands=[command for _, command in self._commands.values()],
            queries=[self.query()],
            consoles=[console],
        )

    def _command(self, script: Script) -> Command:
        """The command it had before, if it says the same: then the host does not compile it again."""
        known = self._commands.get(script.id)
        return known[1] if known is not None and known[0] == script else _command(script)

    def query(self) -> Query:
        """The query ``scripts.list``."""
        return Query(id="scripts.list", handler=self._list, title="Scripts", description=_LIST)

    async def _list(self, limit: int = PAGE, cursor: str = "") -> Json:
        after = [script for script in self.scripts() if script.name > cursor]
        items = [_row(script) for script in after[:limit]]
        more = after[limit - 1].name if len(after) > limit > 0 else None
        return {"items": items, "next": more, "problems": [msgspec.to_builtins(refused) for refused in self.refused]}


_LIST = "Every script with its words and origin, and the files that cannot be used."


def _row(script: Script) -> Json:
    words = script.said.run or [str(script.run[0][0])]
    return {"name": script.name, "id": script.id, "run": words, "origin": script.origin, "output": script.said.output}


def _configured(name: str, table: Mapping[str, Json]) -> Script:
    script = read(name, table, f"scripts.{name}")
    refused = _schema_problem(script)
    if refused:
        raise InvalidConfig(f"scripts.{name}.args: {refused}")
    return script


def problems_of(section: Json) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with the scripts of the configuration, each problem with its keys below ``[scripts]``."""
    for name, table in section.items() if isinstance(section, Mapping) else ():
        try:
            _configured(name, table if isinstance(table, Mapping) else {})
        except InvalidConfig as error:
            for line in error.message.splitlines():
                place, _, text = line.removeprefix(f"scripts.{name}").partition(": ")
                yield (name, *re.findall(r"[^.\[\]]+", place)), text


def _checked(outcome: Script | Refused, taken: set[str]) -> Script | Refused:
    if isinstance(outcome, Refused):
        return outcome
    if outcome.name in taken:
        return Refused(outcome.origin, f"{outcome.origin}: there is another script {outcome.name!r}", gone=True)
    refused = _schema_problem(outcome)
    return Refused(outcome.origin, f"{outcome.origin}: args: {refused}") if refused else outcome


def _schema_problem(script: Script) -> str | None:
    try:
        compile_parameters(handler_for(script), script.schema, script.positional)
    except InvalidArguments as error:
        return error.message.partition(": ")[2]  # without the name of the handler, which means nothing to anybody
    return None


def _changes(before: Mapping[str, Script], after: Mapping[str, Script]) -> list[str]:
    added = [f"{name} added" for name in after.keys() - before.keys()]
    removed = [f"{name} removed" for name in before.keys() - after.keys()]
    changed = [f"{name} changed" for name in after.keys() & before.keys() if after[name] != before[name]]
    return sorted([*added, *removed, *changed])


def _command(script: Script) -> Command:
    said = script.said
    return Command(
        id=script.id,
        handler=handler_for(script),
        args=script.schema,
        positional=script.positional,
        title=said.title or script.name,
        description=said.description,
        category=Category("scripts"),
        effect=said.effect,
        confirm=said.confirm,
        role=said.role,
        expose=frozenset(said.expose),
        lock=None if said.lock == "" else said.lock,
        timeout=said.timeout,
        retry=None if said.retry is None else _retry(said.retry),
        validate=lambda values: problem(script, values),
    )


def _retry(said: Again) -> Retry:
    return Retry(said.attempts, said.delay, said.max_delay, frozenset(said.codes))
