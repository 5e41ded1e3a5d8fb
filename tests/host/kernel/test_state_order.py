"""Any order of changes, failures and reads: what was acknowledged is there, and nothing else ever was.

Acknowledgements are replayed one by one against a dictionary: each change must have been right at its place
in that order, its revisions must go on from the one before, and record and stream must say the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from kernel_kit import FakeClock, Valve

from trunnion.kernel.committer import Committer
from trunnion.kernel.documents import DocumentLimits, Documents
from trunnion.kernel.eventlog import EventLog
from trunnion.kernel.threads import DaemonThreads
from trunnion.model.errors import Conflict, Unavailable
from trunnion.model.events import Event
from trunnion.store.base import DiskFull
from trunnion.store.memory import MemoryStore

OWNERS = ("one", "two")
KEYS = ("a", "b", "c/d")
EXPECTED = ("anything", "nothing", "as read", "as in the model of it", "wrong")

Asked = tuple[str, str, str, str, str]
asked = st.tuples(
    st.sampled_from(("put", "delete", "update", "transaction")),
    st.sampled_from(OWNERS),
    st.sampled_from(KEYS),
    st.sampled_from(KEYS),
    st.sampled_from(EXPECTED),
)
groups = st.lists(st.lists(asked, min_size=1, max_size=4), min_size=1, max_size=3)


class Stopped(FakeClock):
    """Even the shortest wait is over only when the test says so."""

    SHORT = 0.0


class StoredEvents:
    """Nothing here goes so far back that it is no longer in memory."""

    async def events(self, stream: str, after: int) -> list[Event]:
        raise AssertionError("these streams are short")


class Ledger:
    """One owner's documents as the acknowledgements tell."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[int, object]] = {}
        self.changes: list[dict[str, object]] = []

    def revision(self, key: str) -> int:
        return self.documents.get(key, (0, None))[0]

    def acknowledge(self, expected: dict[str, int | None], values: dict[str, object]) -> None:
        for key, revision in expected.items():
            assert revision is None or self.revision(key) == revision, (key, revision, self.documents)
        for key, value in values.items():
            if value is None and key not in self.documents:
                continue
            number = len(self.changes) + 1
            self.changes.append({"key": key, "revision": number} | ({"removed": True} if value is None else {}))
            if value is None:
                del self.documents[key]
            else:
                self.documents[key] = (number, value)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.threads = DaemonThreads("test")
        self.loop.run_until_complete(self._assemble())
        self.tasks: list[asyncio.Task[None]] = []
        self.ledgers = {owner: Ledger() for owner in OWNERS}
        self.count = 0

    async def _assemble(self) -> None:
        self.clock = Stopped()
        self.store = MemoryStore()
        self.valve = Valve(self.store)
        self.reports: list[str] = []
        report = lambda code, text, error=None: self.reports.append(code)  # noqa: E731
        self.committer = Committer(self.store, self.clock, self.loop.call_soon, report)
        self.log = EventLog(self.committer, StoredEvents(), self.store.last_seq, self.clock)
        self.documents = Documents(
            self.store, self.committer, self.log, self.clock, self.threads, limits=DocumentLimits(), backups=None
        )
        self.states = {owner: self.documents.state(owner) for owner in OWNERS}
        for state in self.states.values():
            await state._own.ready()

    def turns(self, count: int = 6) -> None:
        for _ in range(count):
            self.loop.run_until_complete(asyncio.sleep(0))

    # -- what is done -----------------------------------------------------------------------------

    @rule(groups=groups)
    def change_and_see_it_through(self, groups: list[list[Asked]]) -> None:
        self._all(groups)

    @rule(groups=groups, first=st.booleans())
    def change_while_the_store_stalls(self, groups: list[list[Asked]], first: bool) -> None:
        """One group is under way then, the others wait for it."""
        if first:
            self._all(groups[:1])
        self.valve.close()
        self._all(groups)

    @rule(groups=groups, full=st.booleans(), healed=st.booleans())
    def change_and_fail(self, groups: list[list[Asked]], full: bool, healed: bool) -> None:
        self.valve.close()
        self._all(groups)
        self.fail(full)
        if healed:
            self.wait()

    def _all(self, groups: list[list[Asked]]) -> None:
        """Begin each group's changes in one turn of the loop."""
        for group in groups:
            self.loop.run_until_complete(self._begin(group))
            self.turns()

    async def _begin(self, group: list[Asked]) -> None:
        for kind, *rest in group:
            self.tasks.append(self.loop.create_task(self._contained(getattr(self, f"_{kind}")(*rest))))

    async def _contained(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Conflict as conflict:
            assert conflict.details["key"] in KEYS
        except Unavailable:
            assert self.committer.refusal is not None

    async def _expected(self, owner: str, key: str, how: str) -> int | None:
        if how == "as read":
            found = await self.states[owner].get(key)
            return found.revision if found is not None else 0
        return {"anything": None, "nothing": 0, "wrong": 10**6}.get(how, self.ledgers[owner].revision(key))

    def _value(self) -> int:
        self.count += 1
        return self.count

    async def _put(self, owner: str, key: str, _: str, how: str) -> None:
        expected, value = await self._expected(owner, key, how), self._value()
        document = await self.states[owner].put(key, value, revision=expected)
        self.ledgers[owner].acknowledge({key: expected}, {key: value})
        assert (document.revision, document.value) == (self.ledgers[owner].revision(key), value)

    async def _delete(self, owner: str, key: str, _: str, how: str) -> None:
        expected = await self._expected(owner, key, how)
        if await self.states[owner].delete(key, revision=expected):
            assert self.ledgers[owner].revision(key)
            self.ledgers[owner].acknowledge({key: expected}, {key: None})

    async def _update(self, owner: str, key: str, _: str, __: str) -> None:
        built_on: list[object] = []

        def append(value: object) -> object:
            built_on.append(value)
            return [*(value if isinstance(value, list) else []), self._value()]

        document = await self.states[owner].update(key, append)
        present = self.ledgers[owner].documents.get(key, (0, None))[1]
        assert built_on[-1] == present, "it was built on what never was"
        self.ledgers[owner].acknowledge({}, {key: document.value})

    async def _transaction(self, owner: str, key: str, other: str, how: str) -> None:
        expected, value = await self._expected(owner, key, how), self._value()
        async with self.states[owner].transaction() as transaction:
            read = await transaction.get(other)
            seen = {other: read.revision if read is not None else 0}
            await transaction.put(key, value, revision=expected)
            removes = other != key and await transaction.delete(other)
        if expected is not None:
            assert seen.setdefault(key, expected) == expected
        self.ledgers[owner].acknowledge(seen, {key: value} | ({other: None} if removes else {}))

    @rule()
    def say_something_else(self) -> None:
        self.count += 1
        self.log.stream("host").append("log", str(self.count))

    # -- what goes wrong --------------------------------------------------------------------------

    @rule()
    def go_on(self) -> None:
        self.valve.open()
        self.turns()

    @rule()
    def let_one_batch_through(self) -> None:
        self.valve.open()
        self.valve.close()
        self.turns()

    @rule(full=st.booleans())
    def fail(self, full: bool) -> None:
        self.valve.fail(DiskFull("no space") if full else RuntimeError("broken"))
        self.turns()

    @rule()
    def wait(self) -> None:
        self.clock.advance(1.0)
        self.turns()

    # -- what must hold ---------------------------------------------------------------------------

    @invariant()
    def what_is_read_is_what_was_acknowledged(self) -> None:
        for task in self.tasks:
            if task.done():
                task.result()
        self.tasks = [task for task in self.tasks if not task.done()]
        for owner, ledger in self.ledgers.items():
            found = {write.key: write for write in self.store.documents(owner, "", "", 100)}
            kept = {key: (write.revision, int_or_list(write.value)) for key, write in found.items()}
            assert kept == ledger.documents
            told = self.loop.run_until_complete(self._followed(owner))
            assert [event.seq for event in told] == list(range(1, len(told) + 1))
            assert [event.data for event in told] == ledger.changes

    async def _followed(self, owner: str) -> list[Event]:
        return [event async for event in self.states[owner].follow(live=False)]

    def teardown(self) -> None:
        """In the end all is answered, and what is counted for the limits is what is kept."""
        self.valve.open()
        self.turns()
        self.wait()
        self.what_is_read_is_what_was_acknowledged()
        assert not self.tasks, "somebody waits for ever"
        assert self.committer.quiet
        for owner, state in self.states.items():
            assert state._own._usage == self.store.document_usage(owner)
            assert not state._own._on_way
        host = self.store.read_events("host", 0, 1000)
        assert [event.seq for event in host] == list(range(1, self.log.stream("host").seq + 1))
        self.threads.close()
        self.loop.close()


def int_or_list(value: bytes | None) -> object:
    from trunnion.model.json import decode

    assert value is not None
    return decode(value)


TestOrder = Machine.TestCase
TestOrder.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
