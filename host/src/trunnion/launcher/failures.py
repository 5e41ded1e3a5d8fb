"""From an exception to one line and an exit status, both by the one error table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trunnion.launcher.screen import Screen
    from trunnion.model.runs import Run


def exit_status(code: str) -> int:
    """The exit status of a stable code; a code nobody knows counts as ``failed``."""
    from trunnion.model.errors import ERROR_TABLE

    return ERROR_TABLE.get(code, ERROR_TABLE["failed"]).exit


def run_status(run: Run) -> int:
    """The exit status that tells how a run ended."""
    if run.status == "succeeded":
        return 0
    if run.error is not None:
        return exit_status(run.error.code)
    return exit_status("deadline_exceeded" if run.status == "timed_out" else run.status)


def report(error: BaseException, screen: Screen, *, debug: bool) -> int:
    """Tell about whatever ended the program early.

    Args:
        error: what was raised.
        screen: where to tell.
        debug: show the traceback of a defect.

    Returns:
        The exit status.
    """
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            return _tell(screen, "cancelled", "interrupted")
        case click.exceptions.NoArgsIsHelpError() if not screen.as_json:
            screen.err(error.format_message() + "\n")
            return exit_status("invalid_arguments")
        case click.UsageError():
            return _usage(error, screen)
        case click.ClickException():
            return _tell(screen, "invalid_arguments", error.format_message())
    return _own(error, screen, debug=debug)


def _own(error: BaseException, screen: Screen, *, debug: bool) -> int:
    import asyncio

    from trunnion.model.errors import TrunnionError

    if isinstance(error, asyncio.CancelledError):
        return _tell(screen, "cancelled", "interrupted")
    if not isinstance(error, TrunnionError):
        return _defect(error, screen, debug=debug)
    info = error.info
    screen.error(info.code, info.message, info.details)
    return exit_status(info.code)


def _tell(screen: Screen, code: str, message: str) -> int:
    screen.error(code, message, {})
    return exit_status(code)


def _usage(error: click.UsageError, screen: Screen) -> int:
    """What click says, and where to read on."""
    message = error.format_message()
    if error.ctx is not None:
        message += f" (see {error.ctx.command_path} --help)"
    return _tell(screen, "invalid_arguments", message)


def _defect(error: BaseException, screen: Screen, *, debug: bool) -> int:
    import tempfile
    import traceback

    trace = "".join(traceback.format_exception(error))
    if debug:
        screen.err(trace)
        where = "its traceback is above"
    else:
        try:
            with tempfile.NamedTemporaryFile("w", prefix="trunnion-", suffix=".log", delete=False) as file:
                file.write(trace)
            where = f"its traceback is in {file.name}"
        except OSError as failure:
            where = f"its traceback cannot be kept ({failure.strerror}): --debug shows it"
    return _tell(screen, "internal", f"a defect in trunnion, {type(error).__name__}: {error}; {where}")
