"""``trunnion explain``: why somebody may reach something or not, and what would change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from trunnion.launcher.options import json_option, options_of, screen_of

if TYPE_CHECKING:
    from trunnion.model.json import Json

KINDS = click.Choice(["command", "query", "stream", "run"])


@click.command()
@json_option
@click.option("--as", "principal", metavar="PRINCIPAL", help="Who wants to reach it; by default you.")
@click.option("--via", "source", metavar="SOURCE", help="By which door: cli, web, rpc and so on.")
@click.option("--token", "token_id", metavar="ID", help="With this API token; its id, not the token itself.")
@click.option("--kind", type=KINDS, help="What it is, where the name does not tell.")
@click.argument("target")
@click.pass_context
def explain(context: click.Context, /, target: str, **asked: str | None) -> None:
    """Say why TARGET, a command, query, stream or run, is allowed or not, and what would change that."""
    from trunnion.launcher.hosted import ask

    screen = screen_of(context)
    given: dict[str, Json] = {name: value for name, value in asked.items() if value is not None}
    found = ask(options_of(context), "host.explain", {"target": target, **given})
    if screen.as_json or not isinstance(found, Mapping):
        screen.value(found)
    else:
        screen.out("\n".join(rendered(found)) + "\n")


def rendered(found: Mapping[str, Json]) -> Iterator[str]:
    """The answer as lines: the verdict, every rule that was looked at, and what to type."""
    verdict = "allowed" if found["allowed"] else f"refused ({found['code']})"
    yield f"{found['kind']} {found['target']} for {found['principal']} via {found['source']}: {verdict}"
    for check in _items(found["checks"]):
        if isinstance(check, Mapping):
            yield f"  {'ok' if check['passed'] else 'NO':<3} {check['check']:<11} {check['text']}"
    yield f"  decided by: {found['rule']}"
    if gates := _items(found["gates"]):
        yield f"  asked besides: {', '.join(map(str, gates))}"
    if remedy := _items(found["remedy"]):
        yield f"what would change it, for {' or '.join(map(str, _items(found['grantors'])))}:"
        yield from (f"  {line}" for line in remedy)
        if any(str(line).startswith("[") for line in remedy):
            yield "what begins with [section] goes into the configuration; then: trunnion run host.reload"


def _items(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()
