"""Bytes over gRPC: files and whatever is too large for a message, in pieces, with a digest, from any offset."""

from __future__ import annotations

import hashlib
import os

import msgspec
import pytest
from rpc_kit import Raw, Rpc, opened

from trunnion import Event, Invocation, Run, RunFilter, TrunnionError, Unavailable
from trunnion_rpc.client import Client
from trunnion_rpc.streams import LARGE, PIECE
from trunnion_rpc.v1 import runtime_pb2 as pb

SIZE = 1 << 20
CONTENT = bytes(range(256)) * (SIZE // 256)


async def pieces(batches) -> bytes:
    return b"".join([piece async for piece in batches])


@pytest.fixture
async def artifact(client: Client) -> str:
    run = await client.run(Invocation(command_id="demo.keep", args={"size": SIZE}))
    return run.result


async def test_a_kept_file_with_what_is_known_of_it(client: Client, artifact: str) -> None:
    assert await pieces(client.files.read(artifact)) == CONTENT
    info = await client.files.info(artifact)
    assert (info.name, info.size, info.media_type) == ("kept.bin", SIZE, "application/x-kept")
    assert info.sha256 == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 0), (0, 1), (SIZE - 1, 1), (SIZE, None), (PIECE - 3, 7), (5, PIECE * 2), (SIZE - 5, 100)]
)
async def test_any_range_of_it(client: Client, artifact: str, offset: int, length: int | None) -> None:
    end = None if length is None else offset + length
    assert await pieces(client.files.read(artifact, offset, length)) == CONTENT[offset:end]


async def test_ranges_that_there_are_not(client: Client, artifact: str) -> None:
    with pytest.raises(TrunnionError) as beyond:
        await pieces(client.files.read(artifact, SIZE + 1))
    assert (beyond.value.code, beyond.value.details) == ("invalid_arguments", {"size": SIZE})
    with pytest.raises(TrunnionError) as nothing:
        await pieces(client.files.read("no-such-file"))
    assert nothing.value.code == "not_found"
    with pytest.raises(TrunnionError) as unsaid:
        await client._content(pb.ReadContentRequest())
    assert unsaid.value.code == "invalid_arguments"


async def test_reading_goes_on_with_the_same_content_or_not_at_all(client: Client, artifact: str) -> None:
    """Defence: ``request.sha256``."""
    rest = pb.ReadContentRequest(
        artifact_id=artifact, offset=SIZE - 4, sha256=hashlib.sha256(CONTENT).hexdigest().upper()
    )
    assert await client._content(rest) == CONTENT[-4:]
    rest.sha256 = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(TrunnionError) as other:
        await client._content(rest)
    assert other.value.code == "conflict"


async def test_a_reader_takes_up_a_lost_line_where_it_broke(client: Client, artifact: str, monkeypatch) -> None:
    whole, listen, asked = client._line, client._line.listen, []

    async def breaking(method: str, request: pb.ReadContentRequest, kind: type):
        asked.append((request.offset, request.sha256))
        count = 0
        async for answer in listen(method, request, kind):
            yield answer
            count += answer.WhichOneof("part") == "chunk"
            if count == 1 and len(asked) < 4:
                raise Unavailable("the line was lost")

    monkeypatch.setattr(whole, "listen", breaking)
    assert await pieces(client.files.read(artifact, 10)) == CONTENT[10:]
    offsets, digests = zip(*asked, strict=True)
    assert offsets == (10, 10 + PIECE, 10 + 2 * PIECE, 10 + 3 * PIECE)
    assert set(digests[1:]) == {hashlib.sha256(CONTENT).hexdigest()}


# -- what is too large for a message -------------------------------------------------------------------------


@pytest.fixture
async def narrow(tmp_path):
    """A door whose messages are small."""
    async with opened(tmp_path, "max_message_bytes=65536") as host:
        yield host


async def test_results_and_arguments_that_do_not_fit(narrow: Rpc) -> None:
    async with narrow.client() as client, Raw(narrow.socket) as raw:
        run = await client.run(Invocation(command_id="demo.large", args={"size": 100_000}))
        assert run == await narrow.at_home(run.id)
        assert run.result == "é" * 100_000
        plain = (await raw.ask("GetRun", pb.GetRunRequest(run_id=run.id))).run
        assert (plain.incomplete, plain.result_json) == (True, b"")
        assert plain.args_json == b'{"size":100000}'
        listed = await raw.ask("ListRuns", pb.ListRunsRequest())
        assert [each.incomplete for each in listed.runs] == [True]
        assert await client.wait(run.id) == run


async def test_a_list_of_many_is_one_message_all_the_same(narrow: Rpc) -> None:
    async with narrow.client() as client:
        for n in range(30):
            await client.run(Invocation(command_id="demo.greet", args={"name": "x" * 3000}, labels={"n": str(n)}))
        page = await client.list_runs(RunFilter(command="demo.greet"), limit=30)
        assert [run.labels["n"] for run in page.items] == [str(n) for n in reversed(range(30))]
        small = await client.list_runs(limit=2)
        assert small.items[0].args["name"] == "x" * 3000


async def test_a_list_that_cannot_fit_says_what_to_do(narrow: Rpc) -> None:
    async with narrow.client() as client:
        for _ in range(15):
            labels = {str(n): "y" * 500 for n in range(10)}
            await client.run(Invocation(command_id="demo.greet", args={"name": "A"}, labels=labels))
        with pytest.raises(TrunnionError, match="ask for less at a time") as refused:
            await client.list_runs(limit=15)
        assert refused.value.code == "invalid_arguments"
        assert len((await client.list_runs(limit=5)).items) == 5


async def test_answers_and_meta_that_do_not_fit(narrow: Rpc) -> None:
    async with narrow.client() as client, Raw(narrow.socket) as raw:
        assert await client.query("demo.lots", {"size": 200_000}) == "ü" * 200_000
        plain = await raw.ask("Query", pb.QueryRequest(query_id="demo.lots", args_json=b'{"size":200000}'))
        assert (plain.incomplete, plain.value_json) == (True, b"")


async def test_a_description_that_does_not_fit(tmp_path) -> None:
    async with opened(tmp_path) as host, host.client() as client, Raw(host.socket) as raw:
        whole = await client.meta()
        host.shared.room = 1000
        plain = await raw.ask("GetMeta", pb.GetMetaRequest())
        assert (plain.incomplete, plain.meta_json, plain.revision) == (True, b"", whole.revision)
        assert (await client.meta()) == whole


async def test_documents_in_pieces_from_any_offset(client: Client) -> None:
    run = await client.run(Invocation(command_id="demo.large", args={"size": 300_000}))
    whole = await client._content(pb.ReadContentRequest(run_id=run.id))
    assert len(whole) > LARGE / 2
    assert msgspec.json.decode(whole, type=Run) == run
    assert await client._content(pb.ReadContentRequest(run_id=run.id, offset=100, length=50)) == whole[100:150]
    assert await client._content(pb.ReadContentRequest(run_id=run.id, offset=len(whole))) == b""
    with pytest.raises(TrunnionError):
        await client._content(pb.ReadContentRequest(run_id=run.id, offset=len(whole) + 1))
    named = pb.EventContent(stream=f"run/{run.id}", seq=2)
    event = msgspec.json.decode(await client._content(pb.ReadContentRequest(event=named)), type=Event)
    assert event.data["text"] == "é" * 300_000
    for seq in (0, 99):
        with pytest.raises(TrunnionError) as nothing:
            await client._content(pb.ReadContentRequest(event=pb.EventContent(stream=f"run/{run.id}", seq=seq)))
        assert nothing.value.code == "not_found"


# -- files that are brought ----------------------------------------------------------------------------------


async def test_a_file_is_brought_and_is_an_argument(host: Rpc, client: Client, tmp_path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    for source, name in ((tmp_path / "data.bin", "data.bin"), (CONTENT, "upload")):
        info = await client.files.upload(source)
        assert (info.name, info.offset, info.size) == (name, SIZE, SIZE)
        assert info.sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert info == await client.files.uploaded(info.id)
        run = await client.run(Invocation(command_id="demo.read", args={"file": info.handle}))
        assert run.result == SIZE
    await client.files.drop((await client.files.upload(b"")).id)


async def test_bringing_is_taken_up_where_it_broke(client: Client, monkeypatch) -> None:
    bring, asked = client._line.bring, []

    async def breaking(method: str, requests, kind: type):
        async def some():
            count = 0
            async for request in requests:
                if request.upload_id:
                    asked.append(request.offset)
                yield request
                count += 1
                if count == 3 and len(asked) < 3:
                    return

        answer = await bring(method, some(), kind)
        if len(asked) < 3:
            raise Unavailable("the line was lost")
        return answer

    monkeypatch.setattr(client._line, "bring", breaking)
    info = await client.files.upload(CONTENT)
    assert asked == [0, 2 * PIECE, 4 * PIECE][: len(asked)]
    assert len(asked) > 1
    assert info.sha256 == hashlib.sha256(CONTENT).hexdigest()


async def test_bringing_says_where_to_go_on(raw: Raw) -> None:
    upload = (await raw.ask("OpenUpload", pb.OpenUploadRequest(name="a", size=10))).upload
    first = await raw.bring(
        pb.WriteUploadRequest(upload_id=upload.id, chunk=b"abc"), pb.WriteUploadRequest(chunk=b"de"),
        pb.WriteUploadRequest(upload_id=upload.id, chunk=b"f"),
    )  # fmt: skip
    assert first.upload.offset == 6
    with pytest.raises(Exception, match="has 6 bytes, so it goes on there"):
        await raw.bring(pb.WriteUploadRequest(upload_id=upload.id, offset=4, chunk=b"x"))
    with pytest.raises(Exception, match="6 of 10 bytes"):
        await raw.ask("FinishUpload", pb.FinishUploadRequest(upload_id=upload.id))
    with pytest.raises(Exception, match="one call brings one upload"):
        await raw.bring(
            pb.WriteUploadRequest(upload_id=upload.id, offset=6, chunk=b"g"),
            pb.WriteUploadRequest(upload_id="other", chunk=b"h"),
        )
    with pytest.raises(Exception, match="name the upload"):
        await raw.bring()
    assert (await raw.ask("GetUpload", pb.GetUploadRequest(upload_id=upload.id))).upload.offset == 7


async def test_what_arrived_otherwise_than_it_was_sent_is_gone(client: Client, monkeypatch) -> None:
    monkeypatch.setattr("trunnion_rpc.content._measured", lambda source: (3, hashlib.sha256(b"abd").hexdigest()))
    with pytest.raises(TrunnionError) as other:
        await client.files.upload(b"abc")
    assert other.value.code == "invalid_arguments"
    assert (await client.query("uploads.list"))["items"] == []


async def test_a_file_that_is_refused_leaves_nothing_behind(tmp_path) -> None:
    async with opened(tmp_path, "bytes.max_upload=1000") as host, host.client() as client:
        with pytest.raises(TrunnionError):
            await client.files.upload(os.urandom(2000))
        assert (await client.query("uploads.list"))["items"] == []


async def test_the_files_of_others_are_not_there(host: Rpc, client: Client) -> None:
    info = await client.files.upload(b"mine")
    async with host.client(await host.person("otto", "operator")) as otto:
        for verb in (otto.files.uploaded(info.id), otto.files.drop(info.id)):
            with pytest.raises(TrunnionError) as unseen:
                await verb
            assert unseen.value.code == "not_found"
    async with host.client(await host.person("vera", "viewer")) as vera:
        with pytest.raises(TrunnionError) as refused:
            await vera.files.upload(b"x")
        assert refused.value.code == "forbidden"
