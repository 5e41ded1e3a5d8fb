"""The log: chain, segments, keys and checkpoints together. Everything here blocks for as long as the disk does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from trunnion_audit.chain import Chain, State
from trunnion_audit.files import make_folder, replace_whole, segment_path, sync_folder
from trunnion_audit.keys import KeyEntry, SigningKey, forget_key, load_key, read_keys, write_keys
from trunnion_audit.records import Cut, Genesis, Intent, Key, Missing, Outcome, Record, Refusal, Torn
from trunnion_audit.records import Segment as SegmentHead
from trunnion_audit.segment import FileProblem, Segment
from trunnion_audit.taking_up import CHECKPOINT, Found, take_up
from trunnion_audit.taking_up import Torn as TornTail

VERSION = 1
MOST_INTENTS = 4000
"""As many open intents the head of a segment names; with more, earlier segments are read at the next start."""


class Rules(msgspec.Struct, frozen=True):
    """How the log is cut into pieces and sealed.

    Attributes:
        segment_bytes: a segment that has as many is closed.
        segment_age: a segment is closed that is so old, µs.
        checkpoint_records: after so many records comes a checkpoint.
        checkpoint_age: and when the last record without one is so old, µs.
    """

    segment_bytes: int = 32 << 20
    segment_age: int = 7 * 86_400_000_000
    checkpoint_records: int = 1000
    checkpoint_age: int = 60_000_000


class Log:
    """A log that is open. One thread at a time but for ``sync`` and ``publish``, which take what was there before.

    Args:
        folder: where it lies.
        found: its end.
        key: signs.
        rules: see there.
        segment: the one that grows.

    Attributes:
        intents: number of the intent of each run that has no outcome yet, in order.
        keys: all public keys, oldest first.
        ended: runs whose outcome was in the end of the log when it was opened.
    """

    def __init__(self, folder: Path, found: Found, key: SigningKey, rules: Rules, segment: Segment) -> None:
        self.folder = folder
        self.rules = rules
        self.intents = found.intents
        self.keys = list(found.keys)
        self.ended = found.ended
        self._chain = found.chain
        self._key = key
        self._segment = segment
        self._number = found.segment
        self._began = found.began
        self._since = found.since_checkpoint
        self._oldest = found.began
        self._checkpoint = b""
        self._unsynced = [segment]
        self._new_names = True

    # -- opening ----------------------------------------------------------------------------------

    @classmethod
    def open(cls, folder: Path, host_id: str, rules: Rules, now: int) -> Log:
        """Go on with a log, or begin one; a torn tail is cut off, which is its first new record.

        Raises:
            Damaged: what is there cannot be gone on with.
            KeyProblem: the key cannot be used.
            FileProblem: the file cannot.
            OSError: the folder cannot.
        """
        make_folder(folder)
        found = take_up(folder, host_id)
        if found is None or found.chain.n == 0:
            return cls.begin(folder, host_id, rules, now)
        listed = read_keys(folder)
        if listed is None or listed.keys != found.keys:
            write_keys(folder, host_id, found.keys)
        key = load_key(folder, found.keys[-1].id)
        log = cls(folder, found, key, rules, Segment(segment_path(folder, found.segment), found.size))
        try:
            if found.size == 0:
                log._write_head(log._segment, found.segment, now)
            if found.torn is not None:
                log.write([_torn(found.torn, now)], now)
        except BaseException:  # it is tried again every second
            if found.torn is not None:  # then it is to be found again, for it is not on record
                with contextlib.suppress(FileProblem):
                    log._segment.append(found.torn.data)
            log.close()
            raise
        return log

    @classmethod
    def begin(
        cls, folder: Path, host_id: str, rules: Rules, now: int, after: dict[str, str | int] | None = None
    ) -> Log:
        """Begin a log.

        Args:
            folder: where nothing of one is, or what a crash left of its very beginning.
            host_id: whose it is.
            rules: see there.
            now: the time.
            after: which log it takes the place of.
        """
        make_folder(folder)
        path = segment_path(folder, 1)
        path.unlink(missing_ok=True)
        key = SigningKey.make()
        key.save(folder)
        chain = Chain(host_id)
        genesis = Genesis(ts=now, host_id=host_id, key=key.id, public=key.public, segment=1, v=VERSION)
        if after is not None:
            genesis.after = after
        line = chain.add_signed(genesis, key)
        keys = (KeyEntry(key.id, key.public, line[:-1].decode()),)
        segment = cls._first(path, line, key)
        try:
            segment.sync()
            write_keys(folder, host_id, keys)
        except BaseException:
            segment.close()
            raise
        found = Found(chain, 1, len(line), now, None, {}, keys, 1)
        return cls(folder, found, key, rules, segment)

    @staticmethod
    def _first(path: Path, line: bytes, key: SigningKey) -> Segment:
        """The first segment, with its first record; without it the key is of no use."""
        try:
            segment = Segment(path)
            try:
                segment.append(line)
            except BaseException:
                segment.close()
                raise
        except BaseException:  # it is tried again every second
            forget_key(path.parent, key.id)
            raise
        return segment

    # -- what it is -------------------------------------------------------------------------------

    @property
    def host_id(self) -> str:
        """Whose it is."""
        return self._chain.host_id

    @property
    def state(self) -> State:
        """Where the chain is."""
        return self._chain.state

    @property
    def segment(self) -> int:
        """Number of the segment that grows."""
        return self._number

    @property
    def key(self) -> SigningKey:
        """The key that signs."""
        return self._key

    def look(self) -> None:
        """See to it that the file is the one that was left.

        Raises:
            FileProblem: it is not.
        """
        self._segment.look()

    # -- writing ----------------------------------------------------------------------------------

    def write(self, records: Sequence[Record], now: int) -> bytes:
        """Write records, all or none; a checkpoint follows when it is due.

        Returns:
            The lines as they were written.

        Raises:
            FileProblem: nothing was written.
            ValueError: a record is too large; nothing was written.
        """
        self._segment.look()
        if self._segment.size >= self.rules.segment_bytes:
            self.rotate(now)
        before = self._chain.state
        try:
            lines = self._chain.add_all(records)
            checkpoint = b""
            if self._since + len(records) >= self.rules.checkpoint_records:
                checkpoint = self._chain.checkpoint(now, self._key)[1]
            self._segment.append(lines + checkpoint)
        except BaseException:
            self._chain.restore(before)
            raise
        if not self._since:
            self._oldest = now
        self._since += len(records)
        if checkpoint:
            self._sealed(checkpoint)
        for record in records:
            self._note(record)
        return lines

    def _note(self, record: Record) -> None:
        if isinstance(record, Intent):
            if record.run:
                self.intents[record.run] = record.n
        elif isinstance(record, Outcome | Missing | Refusal) and record.run:
            self.intents.pop(record.run, None)

    def seal(self, now: int) -> None:
        """Write a checkpoint, unless the last record is one.

        Raises:
            FileProblem: it could not be written.
        """
        if not self._since:
            return
        self._segment.look()
        before = self._chain.state
        try:
            line = self._chain.checkpoint(now, self._key)[1]
            self._segment.append(line)
        except BaseException:
            self._chain.restore(before)
            raise
        self._sealed(line)

    def _sealed(self, line: bytes) -> None:
        self._since, self._checkpoint = 0, line

    def tick(self, now: int) -> None:
        """Do what is due because of the time.

        Raises:
            FileProblem: it could not be done.
        """
        if self._since and not 0 <= now - self._oldest < self.rules.checkpoint_age:
            self.seal(now)
        if self._chain.n and now - self._began >= self.rules.segment_age and self._segment.size:
            self.rotate(now)

    def rotate(self, now: int) -> None:
        """Close the segment and begin the next. Should the next one not be possible, this one goes on.

        Raises:
            FileProblem: there is no next one.
        """
        self.seal(now)
        number = self._number + 1
        path = segment_path(self.folder, number)
        fresh = Segment(path)
        try:
            self._write_head(fresh, number, now)
        except BaseException:
            fresh.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        self._segment, self._number, self._began = fresh, number, now
        self._unsynced.append(fresh)
        self._new_names = True

    def _write_head(self, segment: Segment, number: int, now: int) -> None:
        intents = [(n, run) for run, n in self.intents.items()] if len(self.intents) <= MOST_INTENTS else None
        before = self._chain.state
        nodes = [node.hex() for node in before.nodes]
        head = SegmentHead(
            ts=now, host_id=self.host_id, segment=number, nodes=nodes, open_intents=intents, v=VERSION
        )  # fmt: skip
        try:
            segment.append(self._chain.add(head))
        except BaseException:
            self._chain.restore(before)
            raise
        self._since += 1
        self._oldest = now

    def rotate_key(self, reason: str, now: int) -> str:
        """Go on with a new key, for which the old one vouches; returns its id.

        Raises:
            FileProblem: it could not be put on record; the old one goes on.
            OSError: the new key could not be kept; the old one goes on.
        """
        self.seal(now)
        old, new = self._key, SigningKey.make()
        new.save(self.folder)
        record = Key(ts=now, host_id=self.host_id, key=new.id, public=new.public, by=old.id, reason=reason)
        before = self._chain.state
        try:
            line = self._chain.add_signed(record, new, old)
            self._segment.append(line)
        except BaseException:
            self._chain.restore(before)
            forget_key(self.folder, new.id)
            raise
        self._key = new
        self.keys.append(KeyEntry(new.id, new.public, line[:-1].decode()))
        self._since += 1
        self.seal(now)
        self._segment.sync()
        write_keys(self.folder, self.host_id, self.keys)
        forget_key(self.folder, old.id)
        return new.id

    def cut(self, record: Cut, now: int) -> bytes:
        """Sign what vouches for the segments that are kept, with a checkpoint after it; returns its line.

        Raises:
            FileProblem: it could not be put on record.
        """
        self._segment.look()
        before = self._chain.state
        try:
            line = self._chain.add_signed(record, self._key)
            self._segment.append(line)
        except BaseException:
            self._chain.restore(before)
            raise
        self._since += 1
        self.seal(now)
        return line

    # -- on the disk ------------------------------------------------------------------------------

    def syncing(self) -> Callable[[], None]:
        """What has to be done, in any thread, to have all that is written now on the disk."""
        segments, checkpoint, names = list(self._unsynced), self._checkpoint, self._new_names
        self._checkpoint, self._new_names = b"", False

        def sync() -> None:
            for segment in segments:
                segment.sync()
            if names:
                sync_folder(self.folder)
            for segment in segments[:-1]:
                self._unsynced.remove(segment)
                segment.close()
            if checkpoint:
                replace_whole(self.folder / CHECKPOINT, checkpoint)

        def sync_or_leave() -> None:
            try:
                sync()
            except BaseException:  # what was not done is left to the next one
                self._new_names = self._new_names or names
                self._checkpoint = self._checkpoint or checkpoint
                raise

        return sync_or_leave

    @property
    def has_news(self) -> bool:
        """Whether a checkpoint waits to be shown beside the log."""
        return bool(self._checkpoint)

    def close(self) -> None:
        """Let the files go."""
        for segment in self._unsynced:
            segment.close()


def _torn(tail: TornTail, now: int) -> Torn:
    data = tail.data
    return Torn(
        ts=now, bytes=len(data), head=data[:256].hex(), segment=tail.segment, sha256=sha256(data).hexdigest()
    )  # fmt: skip
