"""Lines and messages out of bytes, whatever pieces they come in and whatever they are."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion.model.errors import InvalidArguments
from trunnion.model.events import Event, decode_event
from trunnion.protocol.framing import LineSplitter
from trunnion.protocol.messages import (
    EventEncoder,
    Notice,
    Result,
    StreamData,
    ended_frame,
    parse_answer,
    parse_call,
    result_frame,
)

lines = st.lists(st.binary(min_size=1, max_size=40).filter(lambda b: b"\n" not in b and b.strip()), max_size=20)


def test_split_at_every_byte():
    data = b'{"a":1}\n{"b":2}\n'
    for cut in range(len(data) + 1):
        splitter = LineSplitter(100)
        assert [*splitter.feed(data[:cut]), *splitter.feed(data[cut:])] == [b'{"a":1}', b'{"b":2}']


@given(lines, st.lists(st.integers(1, 30), min_size=1))
def test_pieces_do_not_matter(expected, sizes):
    data = b"".join(line + b"\n" for line in expected)
    splitter, found, at, turn = LineSplitter(100), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        found += splitter.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert found == expected


def test_a_thousand_frames_in_one_write():
    assert len(LineSplitter(100).feed(b'{"a":1}\n' * 1000)) == 1000


def test_a_line_without_end_is_refused_before_it_is_kept():
    splitter = LineSplitter(1000)
    with pytest.raises(InvalidArguments, match="1000 bytes"):
        for _ in range(11):
            splitter.feed(b"x" * 100)
    with pytest.raises(InvalidArguments):
        LineSplitter(1000).feed(b"x" * 1001 + b"\n")
    assert LineSplitter(1000).feed(b"x" * 1000 + b"\n") == [b"x" * 1000]


@given(st.binary(max_size=300))
def test_random_bytes_are_a_call_or_a_named_refusal(data):
    try:
        parse_call(data)
    except InvalidArguments as error:
        assert error.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["type", "id", "method", "params", "timeout", "x"]), json_values | st.just("rpc"))
)
def test_random_objects_are_a_call_or_a_named_refusal(value):
    try:
        call = parse_call(msgspec.json.encode(value))
    except InvalidArguments:
        return
    assert value["type"] == "rpc"
    assert call.id == value["id"]


@given(st.integers(-(2**53), 2**53) | st.text(max_size=20), json_values)
def test_results_are_read_back(call_id, value):
    answer = parse_answer(result_frame(call_id, value))
    assert isinstance(answer, Result)
    assert (answer.id, msgspec.json.decode(answer.result)) == (call_id, msgspec.json.decode(msgspec.json.encode(value)))


def stream_data(message: bytes) -> StreamData:
    notice = parse_answer(message)
    assert isinstance(notice, Notice)
    return msgspec.json.decode(notice.data, type=StreamData)


def test_events_go_out_as_the_bytes_they_were_encoded_to_once():
    batch = [Event("run/1", seq, seq, "data", raw=msgspec.Raw(b'{"n": 1.50}')) for seq in (1, 2)]
    encoder = EventEncoder()
    first, second = encoder.encode(batch[0]), encoder.encode(batch[0])
    assert first is second
    assert b'{"n": 1.50}' in first, "the data is spliced, not decoded and encoded again"
    [frame] = encoder.frames("s1", "run/1", batch, 1 << 20)
    assert first in frame
    assert [event.seq for event in stream_data(frame).events] == [1, 2]
    assert decode_event(first) == batch[0]


def test_the_encoder_forgets():
    encoder = EventEncoder(capacity=10)
    for seq in range(100):
        encoder.encode(Event("host", seq, seq, "text"))
    assert len(encoder._known) <= 10


def test_the_ended_mark():
    data = stream_data(ended_frame("s1", "run/1"))
    assert (data.events, data.ended, data.error) == ([], True, None)
