"""The shell's own words: declared once like commands, so that they are completed, checked and explained like those."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, cast

import msgspec

from trunnion import InvalidArguments
from trunnion.model.status import Status
from trunnion_tty.reading import Verb

if TYPE_CHECKING:
    from trunnion.arguments import Bound, Parameters

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
JobAction = Literal["list", "show", "follow", "cancel", "result", "rerun", "export"]


class Wanted:
    """Which runs ``jobs`` lists.

    Attributes:
        every: all the host knows, not only those of this shell.
        limit: so many at most, the newest.
        filters: arguments of ``runs.list``.
    """

    def __init__(self, *, every: bool, filters: Mapping[str, object]) -> None:
        self.filters = {name: value for name, value in filters.items() if value is not None}
        self.every = every or bool(self.filters.keys() - {"limit"})
        limit = filters.get("limit")
        self.limit = limit if isinstance(limit, int) else None


class Actions(Protocol):
    """What the words do; the shell."""

    async def use(self, console: str) -> None:
        """Enter a console."""

    async def back(self) -> None:
        """Leave the console."""

    async def quit(self) -> None:
        """End the shell."""

    async def help(self, name: str) -> None:
        """Say what there is, or how something is called."""

    async def list_jobs(self, wanted: Wanted) -> None:
        """List runs."""

    async def job(self, action: JobAction, name: str, to: Path | None) -> None:
        """Do something with one run."""

    async def foreground(self, name: str) -> None:
        """Wait for a run."""

    async def wait(self, name: str) -> None:
        """Wait for runs in the background."""

    async def alias(self, name: str, line: Sequence[str]) -> None:
        """List, show or set words that stand for others."""

    async def source(self, file: Path, keep_going: bool) -> None:
        """Do what is in a file."""

    async def record(self, to: str) -> None:
        """Write down what is done."""

    async def history(self, count: int) -> None:
        """List earlier lines."""

    async def theme(self, name: Literal["dark", "light", "mono"]) -> None:
        """Change colours."""

    async def clear(self) -> None:
        """Make the screen empty."""


async def use(ctx: Actions, console: str) -> None:
    """Enter a console.

    What is in it is then called by its short name.

    Args:
        console: below this one, or its full name.
    """
    await ctx.use(console)


async def back(ctx: Actions) -> None:
    """Go back to the console this one was entered from."""
    await ctx.back()


async def leave(ctx: Actions) -> None:
    """End the shell.

    Runs go on, and so does the host, unless this shell started it.
    """
    await ctx.quit()


async def explain(ctx: Actions, name: str = "") -> None:
    """List what there is, or say how something is called.

    Args:
        name: of a command, a query, a console or a word of the shell.
    """
    await ctx.help(name)


async def jobs(
    ctx: Actions,
    action: JobAction = "list",
    job: str = "",
    *,
    all: bool = False,
    status: list[Status] | None = None,
    command: str | None = None,
    principal: str | None = None,
    source: str | None = None,
    limit: AtLeastOne | None = None,
    to: Path | None = None,
) -> None:
    """List runs; show, follow, cancel, repeat or export one.

    Runs of this shell are listed; with a filter, those of all doors.

    Args:
        action: what to do with the job.
        job: its number, its tag, or its run's id.
        all: list what all doors have started.
        status: list only these.
        command: list only this command; ``device.*`` takes all that begin so.
        principal: list only what this principal asked for.
        source: list only what came by this door.
        limit: list so many at most.
        to: the file an export is written to.
    """
    filters = {"status": status, "command": command, "principal": principal, "source": source, "limit": limit}
    wanted = Wanted(every=all, filters=filters)
    action = "show" if action == "list" and job else action
    _refuse_options(action, {**wanted.filters, **({"all": True} if all else {})}, to)
    if action == "list":
        await ctx.list_jobs(wanted)
    else:
        await ctx.job(action, job, to)


def _refuse_options(action: JobAction, listing: Mapping[str, object], to: Path | None) -> None:
    """Whoever says ``jobs cancel --all`` means more than the one run that would be cancelled."""
    if listing and action != "list":
        raise InvalidArguments(f"--{next(iter(listing))} is for the list of runs: jobs {action} is about one of them")
    if to is not None and action != "export":
        raise InvalidArguments("--to is for jobs export: it names the file that is written to")


async def fg(ctx: Actions, job: str = "") -> None:
    """Wait for a run in the background; Ctrl-C cancels it.

    Args:
        job: its number, its tag, or its run's id; the newest one without it.
    """
    await ctx.foreground(job)


async def wait(ctx: Actions, job: str = "") -> None:
    """Wait for all runs in the background; fails if one of them did.

    Args:
        job: only for this one: its number, its tag, or its run's id.
    """
    await ctx.wait(job)


async def alias(ctx: Actions, name: str = "", *line: str) -> None:
    """List, show or set words that stand for others.

    Args:
        name: the word.
        line: what it stands for at the beginning of a line.
    """
    await ctx.alias(name, line)


async def source(ctx: Actions, file: Path, *, keep_going: bool = False) -> None:
    """Do what is in a file, up to the first error.

    Args:
        file: lines as they are typed here; those that begin with # are comments.
        keep_going: go on after an error.
    """
    await ctx.source(file, keep_going)


async def record(ctx: Actions, to: str = "") -> None:
    """Write what is done to a file that source reads.

    ``record off`` ends it, ``record`` alone says where to.

    Args:
        to: a file that is not there yet, or off.
    """
    await ctx.record(to)


async def history(ctx: Actions, count: AtLeastOne = 20) -> None:
    """List earlier lines.

    Args:
        count: how many.
    """
    await ctx.history(count)


async def theme(ctx: Actions, name: Literal["dark", "light", "mono"]) -> None:
    """Change the colours of this shell.

    Args:
        name: for a dark or a light terminal, or no colours.
    """
    await ctx.theme(name)


async def clear(ctx: Actions) -> None:
    """Make the screen empty."""
    await ctx.clear()


Function = Callable[..., Awaitable[None]]

_DECLARED: Mapping[str, tuple[Function, Mapping[str, str]]] = {
    "use": (use, {"console": ":consoles"}),
    "back": (back, {}),
    "help": (explain, {"name": ":names"}),
    "?": (explain, {"name": ":names"}),
    "jobs": (jobs, {"job": ":jobs", "command": ":commands"}),
    "fg": (fg, {"job": ":active"}),
    "wait": (wait, {"job": ":active"}),
    "alias": (alias, {}),
    "source": (source, {}),
    "record": (record, {}),
    "history": (history, {}),
    "theme": (theme, {}),
    "clear": (clear, {}),
    "quit": (leave, {}),
    "exit": (leave, {}),
}
"""Name -> the function, and where values of its arguments come from: ``:`` and a word for what the shell knows."""

ABOUT_RUNS = frozenset({"jobs", "fg", "wait"})
"""Words that wait for what the host has to say of runs."""

NOT_RECORDED = frozenset({"record", "history", "clear", "help", "?", "quit", "exit", "theme", "jobs"})
"""Words that a recording leaves out: done again they would change nothing."""


def declared() -> dict[str, Verb]:
    """All words, by name."""
    return {name: _verb(name, function, complete) for name, (function, complete) in _DECLARED.items()}


def _verb(name: str, function: Function, complete: Mapping[str, str]) -> Verb:

    @cache
    def compiled() -> Parameters:
        from trunnion.arguments import compile_parameters

        return compile_parameters(function, complete=complete)

    description = inspect.getdoc(function) or ""
    title = description.partition("\n")[0].rstrip(".")
    also = tuple(other for other, (same, _) in _DECLARED.items() if same is function and other != name)
    return Verb(
        name,
        compiled,
        title,
        description.partition("\n\nArgs:")[0],
        also,
        only_below=name == "back",
        plain_after=1 if name == "alias" else None,
    )


async def perform(verb: Verb, actions: Actions, bound: Bound) -> None:
    """Do what a word says.

    Args:
        verb: the word.
        actions: the shell.
        bound: its arguments.
    """
    function, _ = _DECLARED[verb.name]
    await cast(Awaitable[None], verb.parameters.call(function, actions, bound))
