"""``trunnion artifacts`` and ``trunnion upload``: files go past the socket, from disk to disk, or to a host far off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from trunnion.launcher.options import json_option, options_of, screen_of
from trunnion.launcher.views import View, ViewGroup, moment, show_value, table_of, text_of

if TYPE_CHECKING:
    from trunnion.launcher.copying import Source
    from trunnion.launcher.options import Options
    from trunnion.launcher.screen import Screen
    from trunnion.model.json import Json


def _row(info: Mapping[str, Json]) -> list[str]:
    return [*text_of(info, "id", "name", "size", "media_type"), moment(info.get("created"))]


class ArtifactGroup(ViewGroup):
    """The table's subcommands, and ``save``, which copies."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the table, then ``save``."""
        return [*super().list_commands(ctx), "save"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of a name."""
        return save if cmd_name == "save" else super().get_command(ctx, cmd_name)


artifacts = ArtifactGroup(
    "artifacts",
    "List, check and save files kept with runs.",
    {
        "list": View(
            "queries",
            "runs.artifacts",
            "List the files kept with a run.",
            table_of(("artifact", "name", "bytes", "type", "created"), _row),
        ),
        "show": View("queries", "artifacts.get", "Show what is known of a file."),
        "verify": View(
            "queries",
            "artifacts.verify",
            "Read a file again and compare it with what is on record.",
            status=lambda value: 0 if isinstance(value, Mapping) and value.get("ok") else 1,
        ),
    },
)


@click.command("save", help="Copy a file kept with a run; its digest is checked on the way.")
@json_option
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.argument("artifact_id", metavar="ARTIFACT")
@click.argument("target", metavar="[FILE]", required=False)
@click.pass_context
def save(context: click.Context, *, artifact_id: str, target: str | None, force: bool) -> int:
    """``trunnion artifacts save``; ``-`` writes to standard output."""
    from contextlib import closing
    from pathlib import Path

    from trunnion.launcher.copying import copy_out, copy_to
    from trunnion.model.file_names import display_name

    screen, (name, source) = screen_of(context), _kept(options_of(context), artifact_id)
    with closing(source.pieces):
        if target == "-":
            copy_out(source)
            return 0
        saved = Path(target or display_name(name))
        if saved.is_dir():
            saved /= display_name(name)
        copy_to(source, saved, force=force)
    told: dict[str, Json] = {"saved": str(saved), "sha256": source.sha256}
    screen.value(told) if screen.as_json else screen.note(f"saved {saved}")
    return 0


def _kept(options: Options, artifact_id: str) -> tuple[str, Source]:
    """The name of a kept file, and itself."""
    from pathlib import Path

    from trunnion.launcher.copying import Source, file_source
    from trunnion.launcher.hosted import ask

    if options.connect is not None:
        from trunnion.launcher.elsewhere import ask_far, fetched

        info = ask_far(options, lambda host: host.artifact(artifact_id))
        return info.name, Source(info.name, info.sha256, fetched(options, artifact_id))
    found = ask(options, "artifacts.path", {"artifact_id": artifact_id})
    facts = found if isinstance(found, Mapping) else {}
    return str(facts.get("name")), file_source(Path(str(facts.get("path"))), str(facts.get("sha256")))


def _show_handle(screen: Screen, value: Json) -> None:
    show_value(screen, str(value.get("handle")) if isinstance(value, Mapping) else value)


@click.command(help="Copy a file to an upload and print its handle, for file arguments.")
@json_option
@click.option("--type", "media_type", default="application/octet-stream", help="Media type of the file.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.pass_context
def upload(context: click.Context, *, file: str, media_type: str) -> int:
    """``trunnion upload``: the host copies the file itself, so its bytes pass no door. One elsewhere is sent them."""
    import uuid
    from functools import partial
    from pathlib import Path

    options, screen = options_of(context), screen_of(context)
    if options.connect is not None:
        from trunnion.launcher.elsewhere import ask_far
        from trunnion.model.errors import Unavailable

        try:
            info = ask_far(options, lambda host: host.bring(Path(file), media_type))
        except OSError as error:
            raise Unavailable(f"{file} cannot be read: {error.strerror}") from None
        facts: dict[str, Json] = {"handle": info.handle, "name": info.name, "size": info.size, "sha256": info.sha256}
        screen.value(facts) if screen.as_json else _show_handle(screen, facts)
        return 0

    from trunnion.launcher.attend import tell_result
    from trunnion.launcher.running import run_in_loop
    from trunnion.model.runs import Invocation

    args: dict[str, Json] = {"file": str(Path(file).absolute()), "media_type": media_type}
    asked = Invocation(command_id="uploads.add", args=args, idempotency_key=uuid.uuid4().hex)
    return run_in_loop(options, screen, asked, tell=partial(tell_result, _show_handle))
