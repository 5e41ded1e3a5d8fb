"""Running other programs so that none of them outlives the host.

``Keeper`` starts them, ``Process`` is one of them, ``PipeReader``, ``PipeWriter`` and ``read_blocks`` are its
pipes on the loop. How it works is told in ``client.Keeper`` and ``keeper.minder``.
"""

from trunnion.process.child import OnStep, Process
from trunnion.process.client import Keeper
from trunnion.process.delegation import Cgroups, Subtree
from trunnion.process.lines import BLOCK, Block, LineBlocks
from trunnion.process.pipes import PipeReader, PipeWriter, read_blocks
from trunnion.process.spec import Census, Exit, Limits, Mechanism, Member, Owned, Spawn, SpawnFailed, Step
from trunnion.process.surveying import Survey

__all__ = [
    "BLOCK",
    "Block",
    "Census",
    "Cgroups",
    "Exit",
    "Keeper",
    "Limits",
    "LineBlocks",
    "Mechanism",
    "Member",
    "OnStep",
    "Owned",
    "PipeReader",
    "PipeWriter",
    "Process",
    "Spawn",
    "SpawnFailed",
    "Step",
    "Subtree",
    "Survey",
    "read_blocks",
]
