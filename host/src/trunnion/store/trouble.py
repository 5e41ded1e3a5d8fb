"""What a look at a store finds."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["pages", "run", "live", "chunk", "stream", "text", "artifact", "orphan"]


class Trouble(NamedTuple):
    """One thing that is not as it was written.

    Attributes:
        kind: what it is about.
        text: what was found, by name.
        key: the row or the path, for whoever mends it.
        mend: what mending does, and what is lost by it; ``""`` where nothing can be done.
        is_fatal: whether a host could not work with it.
    """

    kind: Kind
    text: str
    key: int | str = ""
    mend: str = ""
    is_fatal: bool = False
