"""Things to be provided, and notes of when they were opened and closed."""

from __future__ import annotations

from kernel_kit import ANN

from trunnion.kernel.providers import type_name
from trunnion.model.contributions import Provider


class Pump: ...


class Valve: ...


class Tank: ...


TANK = type_name(Tank)


class Notes:
    """Providers that note when they open and close."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def provider(self, kind: type, *wants: type, **more: object) -> Provider:
        async def open_it(host) -> object:
            for wanted in wants:
                assert type(await host.require(wanted)) is wanted
            self.lines.append(f"open {kind.__name__}")
            return kind()

        async def close(value: object) -> None:
            self.lines.append(f"close {type(value).__name__}")

        return Provider(**{"type": kind, "open": open_it, "close": close, **more})


def opens(kind: type, how) -> Provider:
    """A provider whose ``open`` awaits ``how(host)``."""
    return Provider(type=kind, open=how, start_timeout=0.2)


async def shown(rig, kind: type) -> dict:
    status = await rig.door.query(ANN, "host.status")
    return next(p for p in status["providers"] if p["type"].endswith(f".{kind.__name__}"))


async def raises(host) -> object:
    raise ValueError("no water")
