"""Blocks of whole lines, back-pressure, and programs that do not read."""

import fcntl
import os
import random
import signal
import sys
import termios
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunnion.model.errors import Busy, DeadlineExceeded
from trunnion.process import BLOCK, Block, LineBlocks, PipeReader, PipeWriter, read_blocks
from trunnion.process.pipes import QUEUE, output_pipe


def blocks_of(chunks, limit=BLOCK):
    splitter = LineBlocks(limit)
    blocks = [block for chunk in chunks for block in splitter.feed(chunk)]
    return splitter, blocks + splitter.finish()


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"x", b"\n")), max_size=30), st.integers(4, 60))
def test_lines_come_out_as_they_went_in_however_they_are_cut(chunks, limit):
    splitter, blocks = blocks_of(chunks, limit)
    lines = b"".join(chunks).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    assert splitter.lines == len(lines)
    shown = [line for block in blocks for line in block.text.removesuffix("\n").split("\n")]
    assert len(shown) == len(lines)
    for line, text in zip(lines, shown, strict=True):
        if len(line) < limit:
            assert text == line.decode("utf-8", "replace")
    first = 1
    for block in blocks:
        assert block.first_line == first
        first += block.lines


@given(st.text(alphabet="aé€😀\n", max_size=300), st.integers(1, 7))
def test_characters_survive_chunk_ends(text, size):
    data = text.encode()
    _, blocks = blocks_of([data[i : i + size] for i in range(0, len(data), size)])
    assert "".join(block.text for block in blocks) == text


def test_what_is_not_utf8_is_shown_as_such():
    _, blocks = blocks_of([b"a\xff\xfeb\n\xe2\x82"])
    assert [block.text for block in blocks] == ["a\ufffd\ufffdb\n", "\ufffd"]


def test_an_over_long_line_is_cut_with_a_mark_and_the_next_one_is_whole():
    splitter, blocks = blocks_of([b"y" * 70_000, b"y" * 70_000, b"\nnext\n"])
    assert [(block.lines, block.first_line, block.cut) for block in blocks] == [(1, 1, 140_000 - BLOCK), (1, 2, 0)]
    assert blocks[0].text == "y" * BLOCK + f" [{140_000 - BLOCK:,} more bytes of this line are left out]\n"
    assert blocks[1].text == "next\n"
    assert splitter.dropped == 140_000 - BLOCK


def test_no_block_is_larger_than_the_limit():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    chunks = [b"".join(rng.randbytes(rng.randrange(3000)) + b"\n" for _ in range(60)) for _ in range(20)]
    _, blocks = blocks_of([chunk[:BLOCK] for chunk in chunks])
    assert max(len(block.text) for block in blocks) <= BLOCK


@pytest.mark.parametrize("size", [300_000_000, pytest.param(1 << 30, marks=pytest.mark.heavy)])
async def test_one_endless_line_stays_bounded(keeper, marked, size):
    before = _rss()
    blocks = []
    async with await keeper.spawn(marked.spawn("sh", "-c", f"head -c {size} /dev/zero | tr '\\0' y")) as process:
        splitter = await read_blocks(process.stdout, blocks.append)
        await process.wait()
    assert [(bool(block.cut), block.lines) for block in blocks] == [(True, 1)]
    assert splitter.dropped == size - BLOCK
    assert _rss() - before < 20_000_000


async def test_binary_garbage_stays_bounded_and_whole(keeper, marked):
    """What is counted as it comes is what was written, whatever the bytes are."""
    size = 40_000_000
    before = _rss()
    largest, lines = 0, 0

    def take(block: Block) -> None:
        nonlocal largest, lines
        largest, lines = max(largest, len(block.text)), lines + block.lines

    async with await keeper.spawn(marked.spawn("head", "-c", str(size), "/dev/urandom")) as process:
        splitter = await read_blocks(process.stdout, take)
        assert (await process.wait()).ok
    assert splitter.lines == lines
    assert size / 256 * 0.9 < lines < size / 256 * 1.1
    assert largest <= BLOCK
    assert _rss() - before < 20_000_000


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def test_a_paused_reader_makes_the_program_wait(keeper, marked, auntil):
    got = []
    async with await keeper.spawn(marked.spawn("sh", "-c", "head -c 4000000 /dev/zero; echo past >&2")) as process:
        past = []
        process.stderr.start(past.append)
        process.stdout.start(lambda data: (got.append(data), process.stdout.pause()))
        await auntil(lambda: got and _in_pipe(process.stdout.descriptor) >= 65_536, "the pipe full")
        assert (len(got), past) == (1, [])
        while process.stdout.descriptor is not None:
            process.stdout.resume()
            await anyio.sleep(0)
        await process.stderr.ended()
    assert sum(map(len, got)) == 4_000_000
    assert past == [b"past\n"]


def _in_pipe(descriptor: int) -> int:
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


async def test_a_raising_consumer_gets_its_own_error_and_the_pipe_is_closed(keeper, marked):
    def take(data: bytes) -> None:
        raise LookupError("mine")

    async with await keeper.spawn(marked.spawn("echo", "x")) as process:
        process.stdout.start(take)
        with pytest.raises(LookupError, match="mine"):
            await process.stdout.ended()
        assert process.stdout.descriptor is None


async def test_a_program_that_never_reads_costs_a_deadline_not_the_host(keeper, marked):
    async with await keeper.spawn(marked.spawn("sleep", "600", stdin="pipe")) as process:
        with pytest.raises(DeadlineExceeded, match="unread"):
            await process.stdin.write_all(b"x" * 300_000, timeout=0.05)
        waiting = process.stdin.waiting
        assert 0 < waiting <= 300_000 - 65_536
        with pytest.raises(Busy, match="wait"):
            process.stdin.send(b"y" * 1_000_000)
        assert process.stdin.waiting == waiting


async def test_a_stopped_program_costs_a_queue_and_the_caller_is_told(keeper, marked):
    """The pipe takes 64 KiB, the queue what it is allowed to, then every write is refused by name."""
    async with await keeper.spawn(marked.spawn("cat", stdin="pipe")) as process:
        got = []
        process.stdout.start(got.append)
        process.signal(signal.SIGSTOP)
        before, refused = _rss(), 0
        for _ in range(1000):
            try:
                process.stdin.send(b"x" * 100_000)
            except Busy as error:
                refused += 1
                assert "does not read" in str(error)
        assert refused >= 980
        assert QUEUE - 100_000 < process.stdin.waiting <= QUEUE
        assert _rss() - before < 20_000_000
        with pytest.raises(DeadlineExceeded, match="unread for"):
            await process.stdin.drain(0.05)
        process.signal(signal.SIGCONT)
        await process.stdin.drain(20)
        process.stdin.close()
        await process.wait()
        await process.stdout.ended()
    assert sum(map(len, got)) == (1000 - refused) * 100_000


async def test_a_stopped_program_that_wrote_much_costs_one_pipe(keeper, marked, auntil):
    """Nothing is read ahead for a consumer that pauses, and nothing is lost when the program goes on."""
    async with await keeper.spawn(marked.spawn("sh", "-c", "head -c 3000000 /dev/zero; sleep 600")) as process:
        got = []
        process.stdout.start(got.append)
        await auntil(lambda: got, "the first bytes")
        process.signal(signal.SIGSTOP)
        await auntil(lambda: sum(map(len, got)) == 3_000_000, "what its child wrote")
        ended = await process.stop(0.1)
    assert ended.left == 0


async def test_all_of_a_large_input_arrives(keeper, marked):
    data = os.urandom(1_000_000)
    got = []
    async with await keeper.spawn(marked.spawn("cat", stdin="pipe")) as process:
        process.stdout.start(got.append)
        await process.stdin.write_all(data, timeout=20)
        process.stdin.close()
        await process.stdout.ended()
        assert (await process.wait()).ok
    assert b"".join(got) == data


async def test_a_program_that_stops_reading_is_named(keeper, marked):
    async with await keeper.spawn(
        marked.spawn("sh", "-c", "exec <&-; echo closed; sleep 600", stdin="pipe")
    ) as process:
        closed = anyio.Event()
        process.stdout.start(lambda data: closed.set())
        await closed.wait()
        with pytest.raises(BrokenPipeError, match="stopped reading"):
            await process.stdin.write_all(b"x")
        with pytest.raises(BrokenPipeError):
            process.stdin.send(b"x")


async def test_closing_tells_whoever_waits_to_write():
    reader, writer = os.pipe()
    pipe = PipeWriter(writer)
    errors = []

    async def write() -> None:
        with pytest.raises(BrokenPipeError, match="closed") as caught:
            await pipe.write_all(b"x" * 200_000)
        errors.append(caught)

    async with anyio.create_task_group() as group:
        group.start_soon(write)
        await anyio.wait_all_tasks_blocked()
        pipe.close()
    assert len(errors) == 1
    PipeReader(reader).close()


async def test_a_stranger_that_writes_for_ever_holds_nobody_up():
    """Defence: ``PipeReader.drain`` reads so often as empties a pipe; one that is filled meanwhile is never empty."""
    reading, writing = output_pipe()
    reads = 0

    def refill(data: bytes) -> None:
        nonlocal reads
        reads += 1
        assert reads < 1000
        os.write(writing, data)

    reader = PipeReader(reading)
    reader.start(refill)
    os.write(writing, bytes(fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)))
    reader.drain()
    assert 1 <= reads < 1000
    reader.close()
    os.close(writing)
