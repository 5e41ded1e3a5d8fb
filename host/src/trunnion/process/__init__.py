"""Running other programs so that none of them outlives the host.

``Keeper`` starts them, ``Process`` is one of them, ``PipeReader``, ``PipeWriter`` and ``read_blocks`` are its
pipes on the loop. How it works is told in ``client.Keeper`` and ``keeper.minder``.
"""

from trunnion.process.child import OnStep, Process
from trunnion.process.client import Keeper
from trunnion.process.lines import BLOCK, Block, LineBlocks
from trunnion.process.pipes import PipeReader, PipeWriter, read_blocks
from trunnion.process.spec import Census, Exit, Limits, Member, Spawn, SpawnFailed, Step

__all__ = [
    "BLOCK",
    "Block",
    "Census",
    "Exit",
    "Keeper",
    "Limits",
    "LineBlocks",
    "Member",
    "OnStep",
    "PipeReader",
    "PipeWriter",
    "Process",
    "Spawn",
    "SpawnFailed",
    "Step",
    "read_blocks",
]
