"""What a host answers to some of the methods, as a client takes it."""

from __future__ import annotations

import msgspec

from trunnion.model.json import Json


class MetaAnswer(msgspec.Struct, frozen=True):
    """What ``meta.get`` answers; ``meta`` is None when the client's revision is current."""

    revision: str
    generation: int
    modified: bool
    meta: Json = None


class Hello(msgspec.Struct, frozen=True):
    """Who answered."""

    protocol: int
    host_id: str
    boot_id: str
    version: str


class Subscribed(msgspec.Struct, frozen=True):
    """Under which name a stream is followed."""

    subscription: str


class Followed(msgspec.Struct, frozen=True):
    """Under which name a run that was submitted is followed, ``""`` if it is not."""

    subscription: str = ""


class Whoami(msgspec.Struct, frozen=True):
    """Who the host takes the client for."""

    principal: str
    source: str
    role: str
