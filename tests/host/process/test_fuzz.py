"""Fuzz: messages between host and keeper in pieces of any size, and blocks of a program's output of any bytes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from trunnion.process.keeper import frames

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.lists(st.lists(PLAIN, max_size=4).map(tuple), max_size=6), st.lists(st.integers(1, 40), min_size=1, max_size=20)
)
def test_messages_come_out_as_they_went_in_whatever_the_pieces(
    messages: list[tuple[object, ...]], sizes: list[int]
) -> None:
    stream = b"".join(frames.pack(message) for message in messages)  # type: ignore[arg-type]
    unpacker, found, at, turn = frames.Unpacker(), list[object](), 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        found += unpacker.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert found == messages
    assert unpacker.feed(b"") == []
