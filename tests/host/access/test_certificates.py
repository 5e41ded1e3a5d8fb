"""A certificate that a door has verified proves its name, if there is somebody of that name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from identity_kit import People, people

from trunnion.kernel import rarely
from trunnion.model.access import ClientCertificate
from trunnion.model.errors import Forbidden, NotFound, Unauthenticated
from trunnion.model.runs import Caller

NAME, PRINT = "spiffe://plant.example/line/1", "ab" * 32


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[People]:
    async with people(tmp_path) as running:
        yield running


async def shown(host: People, name: str = NAME, source: str = "rpc") -> Caller:
    return await host.host.door(source).authenticate(ClientCertificate(name, PRINT))


async def told(host: People) -> list[dict]:
    return [event for event in await host.changes() if event["code"] == "access.refused"]


async def test_it_proves_somebody_who_is_known(host: People) -> None:
    await host.do("principals.add", name=NAME, kind="program", role="operator")
    caller = await shown(host)
    assert (caller.principal, caller.source, caller.role) == (NAME, "rpc", "operator")
    assert caller.credential == f"certificate:{PRINT}"
    assert await host.do("t.turn", caller) == "turned"


async def test_it_proves_nobody_else_and_never_says_why(host: People) -> None:
    """Defence: ``_able`` in ``_certified``."""
    await host.do("principals.add", name=NAME)
    await host.do("principals.set", name=NAME, disabled=True)
    messages = {await host.refused(shown(host, name)) for name in (NAME, "spiffe://plant.example/other", "", "root")}
    assert messages == {"the credential is not valid here"}
    assert [(event["reason"], event["principal"]) for event in await told(host)] == [
        ("disabled", NAME),
        ("unknown", "spiffe://plant.example/other"),
        ("unknown", ""),
        ("unknown", "root"),
    ]
    assert {event["kind"] for event in await told(host)} == {"certificate"}


async def test_a_local_door_has_no_use_for_one(host: People) -> None:
    """Defence: ``is_local`` in ``_certified``: what comes by a local door is not asked for its exposure."""
    await host.do("principals.add", name=NAME, role="admin")
    await host.refused(shown(host, source="cli"))


async def test_its_caller_ends_with_its_principal(host: People) -> None:
    await host.do("principals.add", name=NAME, role="operator")
    caller = await shown(host)
    await host.do("principals.set", name=NAME, disabled=True)
    with pytest.raises(Unauthenticated):
        await host.do("t.turn", caller)


async def test_it_makes_nothing_that_outlasts_it(host: People) -> None:
    """Defence: ``CERTIFICATE`` in the commands: a token would still count when the certificate is revoked."""
    await host.do("principals.add", name=NAME, role="admin")
    await host.do("principals.add", name="ann")
    caller = await shown(host)
    with pytest.raises(Forbidden, match="makes no tokens"):
        await host.do("tokens.create", caller, principal=NAME)
    with pytest.raises((Forbidden, NotFound)):
        await host.do("principals.password", caller, name="ann", password="correct horse")


async def test_whoever_comes_again_and_again_is_told_of_as_a_number(
    host: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defence: ``Rarely``; nothing slows down a certificate, so nothing else bounds what it has written."""
    monkeypatch.setattr(rarely, "PAUSE", 0.2)
    before = host.host.kernel.telling.counts["unauthenticated"]
    for _ in range(300):
        await host.refused(shown(host))
    assert host.host.kernel.telling.counts["unauthenticated"] - before == 300
    async with asyncio.timeout(10):
        while len(events := await told(host)) < 2:
            await asyncio.sleep(0.02)
    assert [event.get("count") for event in events] == [None, 299]


async def test_what_a_door_refuses_itself_is_counted_and_told(host: People) -> None:
    authentication = host.host.kernel.authentication
    refused = authentication.refuse("rpc", "certificate", "expired", "it has expired", {"peer": "::1"})
    assert refused.message == "the credential is not valid here"
    assert await told(host) == [
        {"code": "access.refused", "source": "rpc", "kind": "certificate", "reason": "expired", "peer": "::1"}
    ]
