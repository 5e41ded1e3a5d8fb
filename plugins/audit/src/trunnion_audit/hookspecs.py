"""The hook that ``trunnion-audit`` publishes, for plugins that have further places for the record.

They implement it with ``@hookimpl(optionalhook=True)``, and so load whether the audit is there or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunnion import Json
    from trunnion_audit.sinks import Sink


def trunnion_audit_sinks(settings: Mapping[str, Json]) -> Iterable[Sink]:  # type: ignore[empty-body]
    """Contribute places for the record beside the file: called once, when the audit opens.

    Each gets every line in order, as it stands in the file. One that is slow or fails is told of, and what it misses
    is counted; nothing waits for it. One that ``stands_in`` is asked, while the file cannot be written, to take what
    is strict: its word then counts, and the file gets the same records when it is well.

    Args:
        settings: the implementing plugin's own section of the configuration.
    """
