"""From records to lines: numbers, hashes, the tree, signatures. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple, Protocol, TypeAlias

from msgspec import UNSET

from trunnion_audit.records import LARGEST_LINE, ZERO, Checkpoint, Cut, Genesis, Key, Record
from trunnion_audit.tree import Tree

Signed: TypeAlias = Genesis | Checkpoint | Key | Cut


class Signer(Protocol):
    """A private key."""

    @property
    def id(self) -> str:
        """Of its public key."""

    def sign(self, data: bytes) -> str:
        """The signature over some bytes, as hex digits."""


class State(NamedTuple):
    """Where a chain is.

    Attributes:
        n: number of the last record.
        head: SHA-256 of its line.
        nodes: the tree over all records.
    """

    n: int = 0
    head: str = ZERO
    nodes: tuple[bytes, ...] = ()


class Chain:
    """Gives records their numbers and their links.

    Args:
        host_id: whose log it is.
        state: where it goes on.
    """

    def __init__(self, host_id: str, state: State | None = None) -> None:
        self.host_id = host_id
        self.restore(state or State())

    @property
    def state(self) -> State:
        """Where it is."""
        return State(self.n, self.head, self._tree.nodes)

    def restore(self, state: State) -> None:
        """Go back to an earlier place: what came after was not written."""
        self.n, self.head = state.n, state.head
        self._tree = Tree(state.n, state.nodes)

    @property
    def root(self) -> str:
        """The root of the tree over all records."""
        return self._tree.root().hex()

    def add(self, record: Record) -> bytes:
        """The next line, with its LF.

        Raises:
            ValueError: the line would be longer than one may be; the chain is as it was.
        """
        self._place(record)
        return self.take(record.line())

    def add_all(self, records: Iterable[Record]) -> bytes:
        """Several lines."""
        return b"".join([self.add(record) for record in records])

    def add_signed(self, record: Signed, signer: Signer, old: Signer | None = None) -> bytes:
        """The next line, signed; a new key by the one before it too."""
        self._place(record)
        record.sig = UNSET
        if isinstance(record, Key):
            record.sig_old = UNSET
        data = signed_bytes(record)
        record.sig = signer.sign(data)
        if isinstance(record, Key) and old is not None:
            record.sig_old = old.sign(data)
        return self.take(record.line())

    def checkpoint(self, ts: int, signer: Signer) -> tuple[Checkpoint, bytes]:
        """The next line: what the log is so far, signed."""
        record = Checkpoint(
            ts=ts, host_id=self.host_id, size=self.n, root=self.root, head=self.head, key=signer.id
        )  # fmt: skip
        return record, self.add_signed(record, signer)

    def _place(self, record: Record) -> None:
        record.kind, record.n, record.prev = record.KIND, self.n + 1, self.head

    def take(self, line: bytes) -> bytes:
        """A line that stands already, without its LF; returns it with it."""
        if len(line) >= LARGEST_LINE:
            raise ValueError(f"a record of {len(line)} bytes is larger than a line may be")
        self.n += 1
        self.head = sha256(line).hexdigest()
        self._tree.add(line)
        return line + b"\n"


def signed_bytes(record: Signed) -> bytes:
    """What a signature is made over: the record without its signatures."""
    return b"trunnion-audit/1 " + record.KIND.encode() + b"\n" + record.line()
