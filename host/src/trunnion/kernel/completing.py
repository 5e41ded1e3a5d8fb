"""What may come next on a command line for one caller: from its arguments, and from queries that offer values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trunnion.arguments.completion import Completion, FromQuery
from trunnion.model.errors import TrunnionError
from trunnion.model.json import Json
from trunnion.model.runs import Caller

if TYPE_CHECKING:
    from trunnion.kernel.core import Kernel

COMPLETION_LIMIT = 200


async def complete(
    kernel: Kernel, caller: Caller, command_id: str, words: Sequence[str], incomplete: str
) -> list[Completion]:
    """See ``Door.complete``; the caller is stamped already.

    Raises:
        NotFound: there is no such command, or it may not be seen.
    """
    entry = kernel.lookup.visible(command_id, caller)
    found: list[Completion] = []
    for completion in entry.parameters.complete(words, incomplete):
        if isinstance(completion, FromQuery):
            found += await _offered(kernel, caller, completion, incomplete)
        else:
            found.append(completion)
    return found[:COMPLETION_LIMIT]


async def _offered(kernel: Kernel, caller: Caller, source: FromQuery, incomplete: str) -> list[Completion]:
    """Values a query offers; one that fails offers none, for completion must never get in the way."""
    try:
        answer = await kernel.queries.query(caller, source.value, {})
    except TrunnionError:
        return []
    items = answer.get("items", []) if isinstance(answer, Mapping) else answer
    offered = [_offer(item, source.before) for item in items] if isinstance(items, list) else []
    return [completion for completion in offered if completion.value.startswith(incomplete)]


def _offer(item: Json, before: str) -> Completion:
    if not isinstance(item, Mapping):
        return Completion(f"{before}{item}")
    value = item.get("value", item.get("id", item.get("name", "")))
    return Completion(f"{before}{value}", str(item.get("description") or item.get("title") or ""))
