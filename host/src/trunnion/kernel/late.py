"""What is said of a run that ran out of time: whose time it was, and how much."""

from __future__ import annotations

from trunnion.kernel.live import LiveRun
from trunnion.model.errors import ErrorInfo, stop_error


def late_error(live: LiveRun) -> ErrorInfo:
    """The error of a run that was stopped as ``timed_out``, from what it was given."""
    plain = stop_error("timed_out", live.run.command_id).info
    return ErrorInfo(plain.code, f"{live.run.command_id} {_why(live)}", plain.details)


def _why(live: LiveRun) -> str:
    if live.parent is not None and live.parent.stop_reason == "timed_out":
        return f"ran out of time together with {live.parent.run.command_id}, which called it"
    if live.expires is None or live.ephemeral:
        return "ran out of time"
    if live.expires == live.expires_asked:
        where = "" if live.run.status == "running" else ", while it waited"
        return f"ran out of the time that its caller gave it{where}"
    timeout = live.entry.command.timeout if live.entry is not None else None
    if timeout is None:
        return "took longer than executor.default_timeout"
    return f"took longer than its timeout of {timeout:g} s"
