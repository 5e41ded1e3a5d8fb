"""What the host tells plugins that asked to be told: refusals, and changes that are about to be made."""

from __future__ import annotations

from typing import Literal

import msgspec

from trunnion.model.json import JsonObject
from trunnion.model.runs import Caller


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was asked for and did not come to be.

    Attributes:
        kind: ``command``, ``query``, ``stream``; ``call`` for what a door did not understand or take; ``credential``
            for what did not prove anybody.
        target: what was asked for, in the words of whoever asked; for a credential what kind of one was shown.
        source: the door.
        caller: who asked; None where nobody is known.
        code: the stable code of the error.
        reason: its message, without secrets. For a credential it says more than whoever showed it was told.
        run_id: the run it would have been, where it had an id and gates were asked about it.
    """

    kind: Literal["command", "query", "stream", "call", "credential"]
    target: str
    source: str
    code: str
    reason: str
    caller: Caller | None = None
    run_id: str = ""


class HostChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the host itself that is about to take effect.

    Attributes:
        kind: ``config``: settings that change while the host runs, or wait for its next start; ``access``:
            principals, tokens and grants.
        code: what is done, such as ``config.reload`` or ``access.principal_added``.
        text: the same as a sentence.
        facts: what goes with it, without secrets. For ``config`` ``values`` has what will hold, ``live`` and
            ``restart`` say when.
        caller: who makes it, where that is known.
        run_id: the run that makes it, ``""`` for none.
    """

    kind: Literal["config", "access"]
    code: str
    text: str
    facts: JsonObject
    caller: Caller | None = None
    run_id: str = ""
