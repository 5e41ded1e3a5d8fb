"""``trunnion audit search``, ``tail`` and ``export``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from trunnion import Json
    from trunnion.launcher.options import Options
    from trunnion.launcher.screen import Screen
    from trunnion.model.runs import Run

F = TypeVar("F", bound=Callable[..., object])

TELLS = {
    "since": "Made at this time or later: 2h (ago), 2026-11-30, 2026-11-30T12:00+01:00.",
    "until": "Made before this time.",
    "principal": "By this principal; 'ann*' takes all that begin so.",
    "target": "About this command, query or stream; 'device.*' takes all that begin so.",
    "source": "By this door, or through it.",
    "decision": "Allowed by this rule, or refused with this code.",
    "status": "Outcomes of this status.",
    "kind": "Records of this kind; 'admin:host.start' takes one action.",
    "run": "About this run.",
    "text": "That have this text in their arguments, reasons or output.",
}
"""What can be asked for; the query's own arguments."""


def _asking(function: F) -> F:
    for name, told in reversed(TELLS.items()):
        function = click.option(f"--{name}", metavar="TEXT", help=told)(function)
    return function


@click.command()
@_asking
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many records.")
@click.option("--json", "as_json", is_flag=True, help="Each record as one line of JSON.")
@click.pass_context
def search(context: click.Context, /, limit: int, *, as_json: bool, **asked: str | None) -> None:
    """Show records, newest first, such as: trunnion audit search --since 2h --principal ann."""
    from trunnion.launcher.options import options_of, screen_of
    from trunnion.model.json import encode
    from trunnion_audit.telling import line_of, time_of

    screen, options, given = screen_of(context), options_of(context), _given(asked)
    _need_host(options)
    cursor: Json = None
    while limit > 0:
        page = _page(options, {**given, "limit": min(limit, 200), "cursor": cursor})
        items, cursor = page.get("items"), page.get("next")
        for record in items if isinstance(items, list) else ():
            if not isinstance(record, Mapping):
                continue
            limit -= 1
            if as_json or screen.as_json:
                screen.out(encode(record).decode() + "\n")
            else:
                screen.out(f"{record.get('n')} {time_of(record)} {line_of(record)}\n")
        if page.get("unreadable"):
            screen.note(f"{page['unreadable']} lines are no records: trunnion audit verify says what is wrong")
        if cursor is None:
            return


def _need_host(options: Options) -> None:
    """Reading is put on record, and only a host can do that.

    Raises:
        Unavailable: none is running.
    """
    from trunnion.launcher.place import locate
    from trunnion.model.errors import Unavailable
    from trunnion.protocol.address import is_served

    if options.connect is None and not is_served(locate(options).data.socket):
        raise Unavailable(
            "no host is running here, and one has to put on record who reads: start it with `trunnion up`, or write "
            "what you look for into a file with `trunnion audit export`, which starts one"
        )


def _page(options: Options, args: dict[str, Json]) -> Mapping[str, Json]:
    from trunnion.launcher.hosted import ask

    value = ask(options, "audit.search", {name: value for name, value in args.items() if value is not None})
    return value if isinstance(value, Mapping) else {}


def _given(asked: Mapping[str, str | None]) -> dict[str, Json]:
    return {name: value for name, value in asked.items() if value is not None}


@click.command()
@click.option("--after", type=click.IntRange(0), help="The number of the last record already seen.")
@click.option("--no-live", "live", is_flag=True, default=True, flag_value=False, help="End at the present end.")
@click.pass_context
def tail(context: click.Context, after: int | None, *, live: bool) -> int:
    """Show records as they come: the last ten, and what follows."""
    import asyncio

    from trunnion.launcher.following import follow_stream
    from trunnion.launcher.hosted import ask
    from trunnion.launcher.options import options_of, screen_of

    options = options_of(context)
    if after is None:
        status = ask(options, "audit.status")
        known = status.get("records") if isinstance(status, Mapping) else None
        after = max(0, known - 10) if isinstance(known, int) else 0
    return asyncio.run(follow_stream(options, screen_of(context), "audit.tail", after, live=live))


@click.command()
@_asking
@click.option("--csv", "as_csv", is_flag=True, help="A table for spreadsheets instead of the lines of the log.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.pass_context
def export(context: click.Context, /, file: str, *, as_csv: bool, force: bool, **asked: str | None) -> int:
    """Write records into FILE, oldest first; - is standard output."""
    import uuid

    from trunnion.launcher.files import save
    from trunnion.launcher.options import options_of, screen_of
    from trunnion.launcher.place import here
    from trunnion.launcher.running import run_in_loop
    from trunnion.model.runs import Invocation

    kept = list[str]()

    def tell(screen: Screen, run: Run) -> int:
        from trunnion.launcher.attend import tell_end

        result = run.result
        if run.status != "succeeded" or not isinstance(result, Mapping):
            return tell_end(screen, run)
        kept.append(str(result.get("artifact")))
        screen.note(f"{result.get('records')} records")
        return 0

    args = {"format": "csv" if as_csv else "jsonl", **_given(asked)}
    invocation = Invocation(
        command_id="audit.export", args=args, idempotency_key=uuid.uuid4().hex, cwd=here()
    )  # fmt: skip
    status = run_in_loop(options_of(context), screen_of(context), invocation, tell=tell)
    if status or not kept:
        return status
    return int(context.invoke(save, artifact_id=kept[0], target=file, force=force) or 0)
