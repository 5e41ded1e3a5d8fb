"""What is told of runs: lists that fit the terminal, and all that matters of one. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from trunnion import Json, Run
from trunnion.rendering import Palette, readable_time, width_of
from trunnion.rendering.palette import Role
from trunnion.rendering.table import cell_text
from trunnion_tty.jobs import SHORT, Job
from trunnion_tty.oneline import one_line

GAP = 2

SPARE = ("source", "principal", "took", "since", "created")
"""Columns that a narrow terminal has no room for, the first to go first."""

ROLES: Mapping[str, Role] = {
    "succeeded": "success", "failed": "error", "timed_out": "error", "interrupted": "error", "lost": "error",
    "cancelled": "muted", "running": "warning",
}  # fmt: skip

Row = list[str]


def own_jobs(jobs: Iterable[Job]) -> list[Row]:
    """Rows about jobs of this shell, the header first."""
    rows = [["job", "tag", "command", "status", "since", "took"]]
    for job in jobs:
        run = job.run
        status = run.status if not job.lost else "lost"
        rows.append([str(job.number), job.tag, run.command_id, status, _moment(run.created), _took(run)])
    return rows


def all_runs(items: Iterable[Mapping[str, Json]], numbers: Mapping[str, int]) -> list[Row]:
    """Rows about runs the host lists, the header first; ``numbers`` are those of jobs of this shell."""
    rows = [["job", "tag", "command", "status", "principal", "source", "created"]]
    for item in items:
        run_id, created = str(item.get("id")), item.get("created")
        number = str(numbers.get(run_id, ""))
        texts = [str(item.get(key) or "") for key in ("command_id", "status", "principal", "source")]
        rows.append([number, run_id[-SHORT:], *texts, _moment(created if isinstance(created, int) else 0)])
    return rows


def fitted(rows: Sequence[Row], width: int) -> list[Row]:
    """The same rows, the header first, without columns that a terminal has no room for."""
    kept = list(range(len(rows[0])))
    sizes = [max(width_of(one_line(row[column])) for row in rows) for column in kept]
    for name in SPARE:
        if sum(sizes[column] + GAP for column in kept) - GAP > width and name in rows[0]:
            kept.remove(rows[0].index(name))
    return [[row[column] for column in kept] for row in rows]


def coloured(rows: Sequence[Row], palette: Palette) -> list[Row]:
    """The same rows, the header first, with statuses that catch the eye."""
    header = rows[0]
    return [
        [
            palette.paint(ROLES[cell], cell) if name == "status" and cell in ROLES and row is not header else cell
            for name, cell in zip(header, row, strict=True)
        ]
        for row in rows
    ]


def announced(job: Job) -> str:
    """One line about a job in the background that is over."""
    if job.lost:
        return f"[{job.number}] {job.tag} {job.run.command_id} is lost: {one_line(job.lost)}"
    error = (
        f": {one_line(job.run.error.message)}"
        if job.run.error is not None and job.run.status not in ("succeeded", "cancelled")
        else ""
    )
    return f"[{job.number}] {job.tag} {job.run.command_id} {job.run.status.replace('_', ' ')}{after(job.run)}{error}"


def after(run: Run) -> str:
    """How long a run took, to go on a sentence with; ``""`` where that is not known."""
    took = _took(run)
    return f" after {took}" if took else ""


def facts(run: Run, palette: Palette) -> list[Row]:
    """All that matters of one run, a name and a value in each row; ``runs.get`` has what else is on record."""
    return [[palette.paint("muted", name), value] for name, value in _facts(run, palette) if value]


def _facts(run: Run, palette: Palette) -> Iterator[tuple[str, str]]:
    yield "run", run.id
    yield "command", run.command_id
    yield "status", palette.paint(ROLES.get(run.status, "muted"), run.status.replace("_", " ")) + after(run)
    yield "attempt", str(run.attempt) if run.attempt > 1 else ""
    yield "error", f"{run.error.message} ({run.error.code})" if run.error is not None else ""
    yield "arguments", cell_text(run.args) if run.args else ""
    yield "result", cell_text(run.result)
    yield "by", f"{run.principal} by {run.source}"
    yield "why allowed", run.decision
    yield "created", _moment(run.created)
    yield "started", _moment(run.started or 0)
    yield "not before", _moment(run.not_before or 0)
    yield "to end by", _moment(run.deadline_at or 0)
    yield "cancel asked for", _moment(run.cancel_requested_at or 0)
    yield "finished", _moment(run.finished or 0)
    yield "lane", run.lock_key or ""
    yield "begun by run", run.parent_run_id or ""
    yield "again after run", run.rerun_of or ""
    yield "in folder", run.cwd or ""
    yield "labels", cell_text(run.labels) if run.labels else ""
    yield "counted", cell_text(run.stats) if run.stats else ""


def _took(run: Run) -> str:
    if run.finished is None or run.started is None:
        return ""
    return readable_time((run.finished - run.started) / 1e6)


def _moment(microseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(microseconds / 1e6)) if microseconds else ""
