"""Shell completion, by click's own mechanism; names and arguments of commands come from the running host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from trunnion.launcher.options import options_of
from trunnion.model.json import Json
from trunnion.rendering import visible

if TYPE_CHECKING:
    from trunnion.protocol.blocking import BlockingClient
    from trunnion.protocol.clients import FarClient

T = TypeVar("T")
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
    meta = _meta(context)
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
    answer = _offered(context, command_id, words, incomplete)
    offered = [entry for entry in _objects(answer) if _fits(str(entry["value"]))]
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


def _meta(context: click.Context) -> Json:
    """What there is. Whatever fails, the shell only sees that there is nothing to offer; so for all that is asked."""
    if options_of(context).connect is not None:
        answer = _ask_far(context, lambda host: host.meta())
        return answer.meta if answer is not None else None
    items = _ask(context, "meta.get", {})
    return items.get("meta") if isinstance(items, Mapping) else None


def _offered(context: click.Context, command_id: str, words: Sequence[str], incomplete: str) -> Json:
    if options_of(context).connect is not None:
        found = _ask_far(context, lambda host: host.complete(command_id, words, incomplete)) or []
        return [{"value": each.value, "description": each.description, "kind": each.kind} for each in found]
    params: dict[str, Json] = {"command_id": command_id, "words": list(words), "incomplete": incomplete}
    return _ask(context, "command.complete", params)


def _ask_far(context: click.Context, work: Callable[[FarClient], Awaitable[T]]) -> T | None:
    from trunnion.launcher.elsewhere import ask_far
    from trunnion.model.errors import TrunnionError

    try:
        return ask_far(options_of(context), work, PATIENCE)
    except TrunnionError:
        return None


def _ask(context: click.Context, method: str, params: Mapping[str, Json]) -> Json:
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
