"""Files of certificates that change while the door is open: read again, and taken up when they fit together."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from trunnion import HostHandle, InvalidConfig
from trunnion_rpc.settings import RpcSettings
from trunnion_rpc.tls_front import Front
from trunnion_rpc.tls_settings import TlsSettings
from trunnion_rpc.trust import Trust, load_trust, stamp_of


class Watch:
    """Looks at the files again and again.

    Args:
        host: reads them in a thread, and is told.
        settings: which files.
        trust: what they said at first.

    Attributes:
        trust: what they said when they last fitted together.
        fronts: go by it.
    """

    def __init__(self, host: HostHandle, settings: TlsSettings, trust: Trust) -> None:
        self.trust = trust
        self.fronts: list[Front] = []
        self._host = host
        self._settings = settings
        self._problem = ""
        self._told = ""
        self._told_of_end: datetime | None = None

    def front(self, settings: RpcSettings, inner: str) -> Front:
        """For a place where it counts, before a socket that gRPC listens at."""
        trust_domain = self._settings.trust_domain if self._settings.principal == "uri" else None
        made = Front(self._host, settings, self.trust, trust_domain, inner)
        self.fronts.append(made)
        return made

    @property
    def tokens_count(self) -> bool:
        """Whether a token says who a client is."""
        return self._settings.tokens_count

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._tell_end()
            await asyncio.sleep(self._settings.recheck)
            await self.look()

    async def look(self) -> None:
        """Take up what has changed, and judge all connections by it."""
        if await self._host.in_thread(lambda: stamp_of(self._settings)) != self.trust.stamp:
            await self._renew()
        for front in self.fronts:
            front.judge_again()

    async def _renew(self) -> None:
        try:
            trust = await self._host.in_thread(lambda: load_trust(self._settings, datetime.now(UTC)))
        except InvalidConfig as error:
            self._tell(error.message)
            return
        self.trust = trust
        self._problem = self._told = ""
        for front in self.fronts:
            front.trust = trust
        self._host.report("tls.renewed", "the certificates of the door were read again and count from now on")

    def _tell(self, problem: str) -> None:
        """What is wrong for longer than files take to be exchanged."""
        if problem == self._problem and problem != self._told:
            self._host.report("tls.problem", f"{problem}; what was read before it counts until this is mended")
            self._told = problem
        self._problem = problem

    def _tell_end(self) -> None:
        _, _, ends, renew, _ = self.trust
        if renew <= datetime.now(UTC) and ends != self._told_of_end:
            text = f"the certificate of the door ends on {ends:%Y-%m-%d at %H:%M} UTC: renew {self._settings.cert}"
            self._host.report("tls.problem", text)
            self._told_of_end = ends


async def opened(host: HostHandle, settings: TlsSettings) -> Watch:
    """The files, read for the first time.

    Raises:
        InvalidConfig: they do not fit together.
    """
    return Watch(host, settings, await host.in_thread(lambda: load_trust(settings, datetime.now(UTC))))
