"""Runs within runs: what ``ctx.invoke`` and ``ctx.spawn`` do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from trunnion.kernel.admission import Admissions, Admitted, Origin
from trunnion.kernel.artifacts import ArtifactKeeper
from trunnion.kernel.context import Context
from trunnion.kernel.executor import Executor
from trunnion.kernel.file_writing import Content
from trunnion.kernel.live import LiveRun
from trunnion.kernel.providers import Providers
from trunnion.kernel.run_handle import RunHandle, result_of
from trunnion.kernel.waiting import Waiting
from trunnion.model.errors import Unavailable
from trunnion.model.json import Json
from trunnion.model.names import plugin_of
from trunnion.model.runs import ArtifactInfo, Invocation, Run

T = TypeVar("T")


class NestedRuns:
    """Implements ``context.Nested``. ``wire`` completes it once executor and admissions exist."""

    def __init__(self) -> None:
        self._executor: Executor
        self._admissions: Admissions
        self._waiting: Waiting
        self._artifacts: ArtifactKeeper
        self._providers: Providers

    def wire(
        self,
        executor: Executor,
        admissions: Admissions,
        waiting: Waiting,
        artifacts: ArtifactKeeper,
        providers: Providers,
    ) -> None:
        """Give it what it works with."""
        self._executor, self._admissions = executor, admissions
        self._waiting, self._artifacts, self._providers = waiting, artifacts, providers

    def require(self, context: Context, kind: type[T]) -> T:
        """The object of a type, for the plugin whose command runs."""
        return self._providers.get(kind, plugin_of(self._live(context).command_entry.owner))

    async def invoke(self, context: Context, command_id: str, args: Mapping[str, Json], timeout: float | None) -> Json:
        """Run a command as a child and return its result; a child whose caller is cancelled is cancelled too."""
        parent = self._live(context)
        admitted = await self._submit(parent, command_id, args, timeout, detach=False)
        try:
            return result_of(await self._await(parent, admitted))
        except BaseException:
            child = self._executor.table.live.get(admitted.run.id)
            if child is not None:
                self._executor.ending.stop(child, "cancelled")
            raise

    async def spawn(
        self, context: Context, command_id: str, args: Mapping[str, Json], timeout: float | None, detach: bool
    ) -> RunHandle:
        """Start a command as a child, or detached from its parent's end, lock and deadline."""
        parent = self._live(context)
        admitted = await self._submit(parent, command_id, args, timeout, detach=detach)
        return RunHandle(admitted.run.id, lambda: self._await(parent, admitted))

    async def keep_artifact(self, context: Context, name: str, content: Content, media_type: str) -> ArtifactInfo:
        """Keep a file with the run."""
        return await self._artifacts.keep(self._live(context), name, content, media_type)

    async def flush(self, context: Context) -> None:
        """Wait until everything emitted so far is on record."""
        live = self._live(context)
        if live.log is not None:
            await self._waiting.flush(live.log)

    def _live(self, context: Context) -> LiveRun:
        live = self._executor.table.live.get(context.run_id)
        if live is None or live.phase != "running" or live.context is not context:
            what = f"run {context.run_id}" if live is None else f"attempt {context.attempt} of run {context.run_id}"
            raise Unavailable(f"{what} has ended: its context cannot be used any more")
        return live

    async def _submit(
        self, parent: LiveRun, command_id: str, args: Mapping[str, Json], timeout: float | None, *, detach: bool
    ) -> Admitted:
        caller = msgspec.structs.replace(
            parent.caller, source="command", chain=(*parent.caller.chain, parent.caller.source)
        )
        invocation = Invocation(
            command_id=command_id, args=dict(args), timeout=timeout, session_id=parent.run.session_id
        )
        return await self._admissions.submit(caller, invocation, Origin(parent, None if detach else parent))

    async def _await(self, parent: LiveRun, admitted: Admitted) -> Run:
        child = admitted.live
        if child is None:
            return await self._waiting.ended(admitted.run.id)
        if child.phase == "ended":
            return child.run
        parent.wait_for(child)
        child.awaited += 1
        try:
            refusal = self._executor.ending.refuse_cycle(child)
            if refusal is not None:
                raise refusal
            self._executor.placement.lend(parent)
            try:
                return await self._waiting.ended(child.id)
            finally:
                self._executor.placement.reclaim(parent)
        finally:
            child.awaited -= 1
            parent.wait_no_more(child)
