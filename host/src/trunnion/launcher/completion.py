"""Shell completion, by click's own mechanism; names and arguments of commands come from the running host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from trunnion.launcher.options import options_of
from trunnion.model.json import Json
from trunnion.rendering import visible

if TYPE_CHECKING:
    from trunnion.protocol.blocking import BlockingClient

_TYPES = {"path": "file"}
"""What the shell itself completes, in its own words."""

PATIENCE = 1.0
"""Seconds a person waits for a completion before it is better to have none."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell, such as: eval "$(trunnion completion bash)"."""
    from trunnion.launcher.main import COMPLETE, PROGRAM, cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, PROGRAM, COMPLETE).source())


def serve(instruction: str) -> int:
    """Answer what the script asks through the environment; returns the exit status."""
    from trunnion.launcher.main import COMPLETE, PROGRAM, cli

    return shell_complete(cli, {}, PROGRAM, COMPLETE, instruction)


def complete_names(context: click.Context, incomplete: str, kind: str = "commands") -> list[CompletionItem]:
    """Ids of commands or queries, with their titles."""
    items = _ask(context, "meta.get", {})
    meta = items.get("meta") if isinstance(items, Mapping) else None
    described = meta.get(kind) if isinstance(meta, Mapping) else None
    return [
        _item(str(entry["id"]), str(entry.get("title") or ""))
        for entry in _objects(described)
        if str(entry["id"]).startswith(incomplete)
    ]


def complete_arguments(
    context: click.Context, command_id: str, words: Sequence[str], incomplete: str
) -> list[CompletionItem]:
    """What the host offers for the next word of a command."""
    params: dict[str, Json] = {"command_id": command_id, "words": list(words), "incomplete": incomplete}
    offered = [entry for entry in _objects(_ask(context, "command.complete", params)) if _fits(str(entry["value"]))]
    return [
        _item(str(entry["value"]), str(entry.get("description") or ""), _TYPES.get(str(entry.get("kind")), "plain"))
        for entry in offered
    ]


def _fits(value: str) -> bool:
    """Whether the scripts, which take an answer line by line, can put a value on a command line."""
    return visible(value) == value and "\n" not in value


def _item(value: str, description: str, kind: str = "plain") -> CompletionItem:
    """A proposal as the scripts can take it, with what it means on one line."""
    return CompletionItem(value, type=kind, help=" ".join(visible(description).split()))


def _objects(value: Json) -> list[Mapping[str, Json]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, Sequence) else []


def _ask(context: click.Context, method: str, params: Mapping[str, Json]) -> Json:
    """Ask the running host. Whatever fails, the shell only sees that there is nothing to offer."""
    from trunnion.model.errors import TrunnionError

    try:
        with _client(context) as client:
            return client.call(method, params)
    except TrunnionError:
        return None


def _client(context: click.Context) -> BlockingClient:
    from trunnion.launcher.place import locate
    from trunnion.protocol.blocking import BlockingClient

    return BlockingClient(locate(options_of(context)).data.socket, timeout=PATIENCE)
