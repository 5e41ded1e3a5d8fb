"""The executor's limits, as read from the configuration."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, kw_only=True):
    """Bounds of the executor; one object for all who go by them.

    Attributes:
        max_running: runs at work at once.
        threads: of these, at most so many in handler threads.
        max_pending: runs accepted and not yet at work, of all principals; more are refused as ``busy``.
        max_pending_per_principal: of these, at most so many of one principal.
        max_abandoned: threads that ignored their end and were replaced; past it sync commands are ``busy``.
        default_lock: lock template of commands that do not say, ``""`` for none.
        default_timeout: seconds, 0 for none.
        cancel_grace: seconds a handler has to end once it was told.
        shutdown_grace: seconds runs may go on once the host stops.
        park_timeout: seconds a run waits for a command that is not there.
        max_result_bytes: a larger result is kept as an artifact.
        max_uncommitted_bytes: output of one run that may wait for the disk.
        max_output_bytes: output of one run that is kept, its beginning and its end; 0 for all.
        max_output_lines: the same in lines, where an event that is no text counts as one.
        max_depth: how deeply runs may nest.
    """

    max_running: int = 64
    threads: int = 16
    max_pending: int = 10_000
    max_pending_per_principal: int = 5_000
    max_abandoned: int = 8
    default_lock: str = "{command_id}"
    default_timeout: float = 0.0
    cancel_grace: float = 5.0
    shutdown_grace: float = 10.0
    park_timeout: float = 3600.0
    max_result_bytes: int = 1 << 20
    max_uncommitted_bytes: int = 4 << 20
    max_output_bytes: int = 256 << 20
    max_output_lines: int = 1_000_000
    max_depth: int = 16

    def take(self, other: Limits) -> None:
        """Be as ``other`` from now on."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(other, name))
