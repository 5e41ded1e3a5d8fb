"""``trunnion runs``: the host's ``runs.*`` commands and queries, with an eye for the person at the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trunnion.launcher.views import View, ViewGroup, moment, objects, show_value, table_of, text_of

if TYPE_CHECKING:
    from trunnion.launcher.screen import Screen
    from trunnion.model.json import Json


def _row(run: Mapping[str, Json]) -> list[str]:
    cells = text_of(run, "id", "command_id", "status")
    return [*cells, moment(run.get("created")), *text_of(run, "principal", "source")]


def show_events(screen: Screen, value: Json) -> None:
    """Events as they looked when they were new."""
    import msgspec

    from trunnion.launcher.render import Renderer
    from trunnion.model.events import Event

    renderer = Renderer(screen, states=True)
    items = value.get("items") if isinstance(value, Mapping) else value
    for item in objects(items):
        renderer.show(msgspec.json.decode(msgspec.json.encode(item), type=Event))
    renderer.close()


def show_result(screen: Screen, value: Json) -> None:
    """The result alone, out of the run it belongs to; nothing of a run that did not succeed."""
    run = value if isinstance(value, Mapping) else {}
    if run.get("status") == "succeeded":
        show_value(screen, run.get("result"))
    else:
        error = run.get("error")
        message = error.get("message") if isinstance(error, Mapping) else ""
        screen.err(f"error: run {run.get('id')} {str(run.get('status')).replace('_', ' ')}: {message}\n")


def result_status(value: Json) -> int:
    """The exit status that goes with a run: that of its error, 0 when it succeeded."""
    from trunnion.launcher.failures import exit_status

    error = value.get("error") if isinstance(value, Mapping) else None
    return exit_status(str(error.get("code"))) if isinstance(error, Mapping) else 0


def show_export(screen: Screen, value: Json) -> None:
    """The text alone."""
    show_value(screen, value.get("text") if isinstance(value, Mapping) else value)


_BEYOND = {"age": "too old", "runs": "too many", "bytes": "too large together"}


def show_pruned(screen: Screen, value: Json) -> None:
    """What was removed, or would be, by command and limit, and all together."""
    from trunnion.launcher.render import show_table

    report = value if isinstance(value, Mapping) else {}
    rows = [
        [str(each.get("command") or "(other streams)"), _BEYOND.get(str(each.get("limit")), ""), *_amounts(each)]
        for each in objects(report.get("of"))
    ]
    if rows:
        show_table(screen, rows, ("command", "why", "runs", "events", "bytes"))
    runs, events, size = _amounts(report)
    verb = "would be removed" if report.get("dry_run") else "removed"
    screen.note(f"{verb}: {runs} runs, {events} events, {size}")


def _amounts(item: Mapping[str, Json]) -> list[str]:
    from trunnion.rendering import readable_size

    size = item.get("bytes")
    return [*text_of(item, "runs", "events"), readable_size(size if isinstance(size, int) else 0)]


def show_imported(screen: Screen, value: Json) -> None:
    """What became of a file: counts, then what was refused by line."""
    report = value if isinstance(value, Mapping) else {}
    imported, skipped, refused, past = text_of(report, "imported", "skipped", "refused", "past_retention")
    screen.out(f"imported {imported}, there already {skipped}, refused {refused}\n")
    if past != "0":
        screen.note(f"{past} of them ended so long ago that retention removes them at its next turn")
    for each in objects(report.get("refusals")):
        screen.out(f"line {each.get('line')}: {each.get('message')}\n")


show_list = table_of(("run", "command", "status", "created", "principal", "source"), _row)

runs = ViewGroup(
    "runs",
    "List runs; show, cancel, repeat, export or remove them.",
    {
        "list": View("queries", "runs.list", "List runs, newest first.", show_list),
        "show": View("queries", "runs.get", "Show everything known about a run."),
        "result": View("queries", "runs.result", "Print a run's result.", show_result, status=result_status),
        "events": View("queries", "runs.events", "Print the events of a run.", show_events),
        "export": View("queries", "runs.export", "Write out a run with its events.", show_export),
        "cancel": View("commands", "runs.cancel", "Cancel a run."),
        "rerun": View(
            "commands", "runs.rerun", "Run again what a run did, with the same arguments.", secrets_in="args"
        ),
        "prune": View("commands", "runs.prune", "Remove old runs.", show_pruned),
        "import": View("commands", "runs.import", "Take in runs of another host or program.", show_imported),
    },
)
