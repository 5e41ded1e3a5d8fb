"""Everything the kernel has to do with files, put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from trunnion.access.policy import Policy
from trunnion.kernel.artifact_reading import Artifacts
from trunnion.kernel.artifacts import ArtifactKeeper
from trunnion.kernel.clock import Clock
from trunnion.kernel.committer import Committer
from trunnion.kernel.file_arguments import FileArguments
from trunnion.kernel.file_claims import FileClaims
from trunnion.kernel.file_limits import FileLimits
from trunnion.kernel.reporting import Report
from trunnion.kernel.state import State
from trunnion.kernel.threads import DaemonThreads
from trunnion.kernel.upload_upkeep import UploadUpkeep
from trunnion.kernel.uploads import Uploads
from trunnion.store.base import Store


class KeptFiles:
    """Files kept with runs, files that clients bring, and arguments that name either.

    Args:
        folder: where uploads lie.
        state: the host's own documents.
        is_live: whether a run of an id has been accepted and has not ended.

    Attributes:
        keeper: writes files of runs; ``artifacts`` reads them.
        uploads: brought by clients; ``upkeep`` removes what nobody needs.
        arguments: finds the files that arguments name; ``claims`` keeps them for new runs.
        limits: what all of them go by; its own copy, changed with ``take``.
    """

    def __init__(
        self,
        folder: Path,
        limits: FileLimits,
        *,
        store: Store,
        committer: Committer,
        policy: Policy,
        clock: Clock,
        state: State,
        threads: DaemonThreads,
        report: Report,
        is_live: Callable[[str], bool],
    ) -> None:
        limits = self.limits = msgspec.structs.replace(limits)
        self.keeper = ArtifactKeeper(store, committer, clock, threads, limits)
        self.artifacts = Artifacts(store, policy, threads)
        self.uploads = Uploads(folder, state=state, policy=policy, clock=clock, threads=threads, limits=limits)
        self.upkeep = UploadUpkeep(self.uploads, state, store, threads, report, is_live)
        self.arguments = FileArguments(self.uploads, self.artifacts, limits.roots)
        self.claims = FileClaims(self.arguments, self.uploads, threads)
