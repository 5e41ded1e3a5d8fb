"""The Merkle tree over all records (RFC 6962, section 2.1), kept as the roots of its perfect subtrees."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256


class Tree:
    """Grows by one leaf at a time and never holds more than one node for each bit of its size.

    Args:
        size: how many leaves it has.
        nodes: the roots of its perfect subtrees, from the largest to the smallest.

    Raises:
        ValueError: there are not as many nodes as a tree of this size has.
    """

    __slots__ = ("_nodes", "size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        self.size = size
        self._nodes = list(nodes)
        if len(self._nodes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} perfect subtrees, not {len(self._nodes)}")

    def add(self, line: bytes) -> None:
        """One leaf more: a line without its LF."""
        node, size, nodes = sha256(b"\0" + line).digest(), self.size, self._nodes
        while size & 1:
            node = sha256(b"\1" + nodes.pop() + node).digest()
            size >>= 1
        nodes.append(node)
        self.size += 1

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """The roots of its perfect subtrees, from the largest to the smallest."""
        return tuple(self._nodes)

    def root(self) -> bytes:
        """The root of the whole."""
        if not self._nodes:
            return sha256().digest()
        root = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            root = sha256(b"\1" + node + root).digest()
        return root
