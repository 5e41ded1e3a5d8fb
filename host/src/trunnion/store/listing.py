"""Pages of history: which numbers a filter selects, newest first, each through the index that fits best."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from trunnion.model.errors import InvalidArguments
from trunnion.model.runs import Run, RunFilter
from trunnion.model.status import TERMINAL
from trunnion.store.state import number

MAX = 2**63 - 1
MOST_WALKS = 64
"""Walks merged in one statement, whose values stay below what SQLite takes."""

RARE = " AND status <> 'succeeded'"


def parse_cursor(cursor: str | None, first: int = MAX) -> int:
    """The number a cursor stands for, of the run below which or the event after which the next page begins.

    Args:
        cursor: as given by the page before.
        first: where the first page begins.

    Raises:
        InvalidArguments: it is not a cursor of ours.
    """
    if cursor is None:
        return first
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise InvalidArguments(f"{cursor[:40]!r} is not a cursor; use the 'next' of the page before")
    return int(cursor)


def matches(run: Run, wanted: RunFilter) -> bool:
    """Whether a run passes a filter."""
    return (
        (not wanted.status or run.status in wanted.status)
        and (wanted.command is None or _fits(run.command_id, wanted.command))
        and wanted.principal in {None, run.principal}
        and wanted.source in {None, run.source}
        and wanted.session_id in {None, run.session_id}
        and wanted.parent_run_id in {None, run.parent_run_id}
        and (wanted.created_after is None or run.created > wanted.created_after)
        and (wanted.created_before is None or run.created < wanted.created_before)
    )


def _fits(command_id: str, wanted: str) -> bool:
    return command_id.startswith(wanted[:-1]) if wanted.endswith("*") else command_id == wanted


class Term(NamedTuple):
    """One condition: a column that has one of some values, and the index to walk."""

    column: str
    values: Sequence[int | str]
    walk: str
    rank: int
    implied: str = ""


Condition: TypeAlias = "tuple[str, Sequence[int | str]]"


Found: TypeAlias = "tuple[int, int, bytes]"
"""Number, checksum and record of an ended run."""


def select_ended(connection: sqlite3.Connection, wanted: RunFilter, before: int, limit: int) -> list[Found]:
    """Ended runs numbered below ``before`` that pass, newest first, at most ``limit``."""
    terms = sorted(_terms(connection, wanted), key=lambda term: term.rank)
    found: list[Found] = []
    for low, high in spans(connection, wanted.created_after, wanted.created_before):
        if len(found) < limit:
            found += _span(connection, terms, wanted, (low, min(high, before - 1)), limit - len(found))
    return found


def _terms(connection: sqlite3.Connection, wanted: RunFilter) -> list[Term]:
    terms = []
    if wanted.session_id is not None:
        terms.append(Term("session", [wanted.session_id], "INDEXED BY runs_session", 0))
    if wanted.parent_run_id is not None:
        terms.append(Term("parent", [wanted.parent_run_id], "INDEXED BY runs_parent", 1))
    commands = None if wanted.command in {None, "*"} else _commands(connection, wanted.command or "")
    if wanted.status:
        ended = [status for status in wanted.status if status in TERMINAL]
        common = "succeeded" in ended
        walk = "runs_failures" if commands is not None and len(commands) == 1 else "runs_status"
        terms.append(Term("status", ended, "" if common else f"INDEXED BY {walk}", 9 if common else 2, RARE))
    if commands is not None:
        terms.append(Term("command", commands, "INDEXED BY runs_command", 3))
    if wanted.principal is not None or wanted.source is not None:
        callers = _callers(connection, wanted.principal, wanted.source)
        terms.append(Term("caller", callers, "INDEXED BY runs_caller", 4))
    return terms


def _commands(connection: sqlite3.Connection, wanted: str) -> list[int]:
    if not wanted.endswith("*"):
        return [num for (num,) in connection.execute("SELECT num FROM commands WHERE id = ?", (wanted,))]
    prefix = wanted[:-1]
    query = "SELECT num FROM commands WHERE substr(id, 1, ?) = ?"
    return [num for (num,) in connection.execute(query, (len(prefix), prefix))]


def _callers(connection: sqlite3.Connection, principal: str | None, source: str | None) -> list[int]:
    query = "SELECT num FROM callers WHERE principal = coalesce(?, principal) AND source = coalesce(?, source)"
    return [num for (num,) in connection.execute(query, (principal, source))]


def _span(
    connection: sqlite3.Connection, terms: list[Term], wanted: RunFilter, span: tuple[int, int], limit: int
) -> list[Found]:
    """The best index is walked once per value, newest first; the other conditions filter what it yields."""
    driver = terms[0] if terms and terms[0].walk else None
    conditions: list[Condition] = [("num BETWEEN ? AND ?", [*span])]
    if wanted.created_after is not None:
        conditions.append(("created > ?", [wanted.created_after]))
    if wanted.created_before is not None:
        conditions.append(("created < ?", [wanted.created_before]))
    for term in terms[1:] if driver else terms:
        conditions.append((f"{term.column} IN ({', '.join('?' * len(term.values))})", term.values))
    if driver is None:
        return _walk(connection, "num, crc, doc FROM runs", conditions, limit)
    walks = [[*conditions, (f"{driver.column} = ?{driver.implied}", [value])] for value in driver.values]
    if len(walks) == 1:
        return _walk(connection, f"num, crc, doc FROM runs {driver.walk}", walks[0], limit)
    nums = _merged(connection, driver, walks, limit)
    chosen: Condition = (f"num IN ({', '.join('?' * len(nums))})", nums)
    return _walk(connection, "num, crc, doc FROM runs", [chosen], limit)


def _merged(connection: sqlite3.Connection, driver: Term, walks: list[list[Condition]], limit: int) -> list[int]:
    """The newest numbers of several walks together. SQLite merges them as they come, each only as far as it matters."""
    nums: list[int] = []
    for start in range(0, len(walks), MOST_WALKS):
        part = walks[start : start + MOST_WALKS]
        where = " AND ".join(text for text, _ in part[0])
        select = f"SELECT num FROM runs {driver.walk} WHERE {where}"  # noqa: S608
        values = [value for walk in part for _, group in walk for value in group]
        query = f"{' UNION ALL '.join([select] * len(part))} ORDER BY num DESC LIMIT ?"
        found: list[tuple[int]] = connection.execute(query, (*values, limit)).fetchall()
        nums = sorted((*nums, *(num for (num,) in found)), reverse=True)[:limit]
    return nums


def _walk(connection: sqlite3.Connection, what: str, conditions: list[Condition], limit: int) -> list[Found]:
    where = " AND ".join(text for text, _ in conditions)
    values = [value for _, group in conditions for value in group]
    return connection.execute(f"SELECT {what} WHERE {where} ORDER BY num DESC LIMIT ?", (*values, limit)).fetchall()


def spans(connection: sqlite3.Connection, after: int | None, before: int | None) -> list[tuple[int, int]]:
    """Ranges of run numbers, newest first, outside which no run was created between two times.

    The newest runs have no mark yet and are always among them.
    """
    if after is None and before is None:
        return [(0, MAX)]
    times = (-1 if after is None else after, MAX if before is None else before)
    query = "SELECT min(last), max(last) FROM marks WHERE high > ? AND low < ?"
    row: tuple[int | None, int | None] = connection.execute(query, times).fetchone()
    marked = number(connection, "SELECT coalesce(max(last), 0) FROM marks")
    newest = (marked + 1, MAX)
    if row[0] is None or row[1] is None:
        return [newest]
    start = number(connection, "SELECT coalesce(max(last), 0) FROM marks WHERE last < ?", row[0])
    return [newest, (start + 1, row[1])]
