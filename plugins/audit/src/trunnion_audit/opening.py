"""Opening the audit of a host."""

from __future__ import annotations

from trunnion import HostHandle
from trunnion_audit.audit import FOLDER, Audit
from trunnion_audit.commands import queries
from trunnion_audit.consulting import consult
from trunnion_audit.keys import Salts
from trunnion_audit.ledger import Ledger, now
from trunnion_audit.log import Log
from trunnion_audit.settings import AuditSettings, read_settings
from trunnion_audit.sinks import Sink, SinkFeed

SINKS = "trunnion_audit_sinks"
"""The hook this plugin publishes; see ``trunnion_audit.hookspecs``."""


async def open_audit(host: HostHandle) -> Audit:
    """Open the audit of a host. A log that cannot be opened is no reason not to start, but one to refuse commands."""
    settings = read_settings(host.settings)
    folder, salts = host.data.root / FOLDER, Salts()
    power = (host.durability if settings.durability == "store" else settings.durability) == "power"

    def opened() -> Log:
        log = Log.open(folder, host.host_id, settings.rules, now())
        try:
            salts.take(folder)
        except BaseException:  # it is tried again every second
            log.close()
            raise
        return log

    async def open_log() -> Log:
        return await host.in_thread(opened)

    sinks = [*_sinks(settings), *(sink for _, sink in await host.contributed(SINKS, Sink))]
    feeds = [SinkFeed(sink, settings.sink_timeout, host.report) for sink in sinks]
    audit = Audit(host, settings, salts, Ledger(open_log, power=power, report=host.report, sinks=feeds))
    if settings.enabled:
        await audit.ledger.open()
        await audit.begin()
        host.registry.replace("audit/queries", queries(audit))
        consult(audit, host)
    elif folder.exists():
        await audit.say_that_it_is_off()
    return audit


def _sinks(settings: AuditSettings) -> list[Sink]:
    if settings.syslog is None:
        return []
    from trunnion_audit.syslog import syslog_sink

    return [syslog_sink(settings.syslog)]
