"""A nested run as a handler sees it, and what a run that ended left."""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from trunnion.model.errors import TrunnionError, error_from_info
from trunnion.model.json import Json
from trunnion.model.runs import Run


class RunHandle:
    """A nested run that was started."""

    def __init__(self, run_id: str, wait: Callable[[], Coroutine[None, None, Run]]) -> None:
        self.run_id = run_id
        self._wait = wait

    async def wait(self) -> Run:
        """Wait for the end, whatever it is."""
        return await self._wait()

    async def result(self) -> Json:
        """Wait for the end and return the result.

        Raises:
            TrunnionError: the run did not succeed; the error is the run's own.
        """
        return result_of(await self._wait())


def result_of(run: Run) -> Json:
    """The result of an ended run.

    Raises:
        TrunnionError: it did not succeed.
    """
    if run.status == "succeeded":
        return run.result
    if run.error is not None:
        raise error_from_info(run.error)
    raise TrunnionError(f"run {run.id} ended as {run.status}")
