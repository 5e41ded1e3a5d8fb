"""What ``--connect`` gives launcher and shell: a client that behaves as the one over the host's own socket does."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from certs_kit import ANN, Plant, authority, write
from rpc_kit import Rpc, opened

from trunnion import Invocation, Json, Run, TrunnionError, Unavailable
from trunnion.protocol.answers import Hello
from trunnion.protocol.client import Client as LocalClient
from trunnion.protocol.clients import Destination, FarClient, HostClient
from trunnion_rpc import content
from trunnion_rpc.connection import Connection, connect
from trunnion_rpc.v1.runtime_pb2 import WriteUploadRequest


def connection(host: Rpc, patience: float = 5.0) -> Connection:
    made = connect(Destination(url=f"unix:{host.socket}"), patience=patience, door="cli")
    assert isinstance(made, Connection)
    return made


@pytest.mark.parametrize(("kind", "wanted"), [(LocalClient, HostClient), (Connection, FarClient)])
def test_each_client_has_what_is_asked_of_it(kind: type, wanted: type) -> None:
    for name, method in inspect.getmembers(wanted, inspect.isfunction):
        if not name.startswith("_"):
            asked, has = inspect.signature(method).parameters, inspect.signature(getattr(kind, name)).parameters
            assert list(asked) == [each for each in has if each in asked], name


async def test_a_call_whose_answer_was_lost_names_the_same_file_again(host: Rpc, tmp_path: Path) -> None:
    """Defence: ``Bringing._under_way``: with another upload the same key would be a conflict."""
    (tmp_path / "file").write_bytes(b"12345")
    there = connection(host)
    lost, submit = [], there._client.submit

    async def losing(wish: Invocation) -> Run:
        run = await submit(wish)
        if not lost:
            lost.append(run)
            raise Unavailable("the line was lost")
        return run

    there._client.submit = losing  # type: ignore[method-assign]
    wish = Invocation(command_id="demo.read", argv=("file",), idempotency_key="once", cwd=str(tmp_path))
    with pytest.raises(Unavailable):
        await there.submit(wish)
    run = await there.submit(wish)
    assert run.id == lost[0].id
    assert (await there.wait(run.id)).result == 5
    assert len(await uploads(there)) == 1
    assert not there._bringing._under_way
    await there.close()


async def test_what_was_not_there_before_is_looked_for_again(host: Rpc, tmp_path: Path) -> None:
    """Defence: a description that has no such command is asked for anew, as one of a driver that has started."""
    (tmp_path / "file").write_bytes(b"123")
    there = connection(host)
    await there.meta()
    there._bringing._described = {}
    run = await there.submit(Invocation(command_id="demo.read", args={"file": "file"}, cwd=str(tmp_path)))
    assert (await there.wait(run.id)).result == 3
    described = there._bringing._described["demo.read"]
    there._bringing._described = {"demo.read": {**described, "args": {}, "revision": "older"}}
    there._bringing._compiled.clear()
    again = Invocation(
        command_id="demo.read", args={"file": "file"}, cwd=str(tmp_path), revision=str(described["revision"])
    )
    assert (await there.wait((await there.submit(again)).id)).result == 3
    await there.close()


async def test_calls_without_files_ask_for_no_description(host: Rpc) -> None:
    there = connection(host)
    await there.submit(Invocation(command_id="demo.fail"))
    assert there._bringing._described == {}
    await there.close()


async def test_a_call_fails_at_once_and_the_next_one_connects_again(tmp_path: Path) -> None:
    """Defence: ``insist``. What was certainly not heard says where it would have gone."""
    async with opened(tmp_path) as host:
        there = connection(host, patience=60)
        assert (await there.whoami()).source == "rpc"
        before = await there.hello()
    for call in (there.hello, there.meta, lambda: there.query("demo.count"), lambda: there.wait("x")):
        with pytest.raises(Unavailable) as error:
            await asyncio.wait_for(call(), 10)
        assert error.value.details == {"url": f"unix:{host.socket}"}
        assert str(host.socket) in error.value.message
    async with opened(tmp_path):
        async with asyncio.timeout(10):  # gRPC tries again within a second, and until then says so at once
            while (after := await answered(there)) is None:
                await asyncio.sleep(0.01)
        assert (after.host_id, after.boot_id != before.boot_id) == (before.host_id, True)
        await there.close()


async def answered(there: Connection) -> Hello | None:
    try:
        return await there.hello()
    except Unavailable:
        return None


async def test_a_name_nobody_has_is_no_line_that_was_lost() -> None:
    there = connect(Destination(url="grpcs://nowhere.invalid:1"), patience=1, door="cli")
    with pytest.raises(Unavailable) as error:
        await there.hello()
    assert error.value.details == {"url": "grpcs://nowhere.invalid:1"}
    assert error.value.message.startswith("cannot reach a host at grpcs://nowhere.invalid:1: ")
    await there.close()


async def test_a_file_nobody_waits_for_any_more_goes_again(host: Rpc, tmp_path: Path) -> None:
    """Defence: ``LAST_WORD``: Ctrl-C while a file is brought leaves nothing of it at the host."""
    there = connection(host)
    writing, content_pieces = asyncio.Event(), content._pieces

    async def slow(upload_id: str, source: Path | bytes, offset: int) -> AsyncIterator[WriteUploadRequest]:
        async for piece in content_pieces(upload_id, source, offset):
            yield piece
            writing.set()
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "_pieces", slow)
        (tmp_path / "file").write_bytes(b"x" * 1000)
        bringing = asyncio.create_task(there.bring(tmp_path / "file", "text/plain"))
        await writing.wait()
        assert len(await uploads(there)) == 1
        bringing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bringing
    assert await uploads(there) == []
    await there.close()


async def uploads(there: Connection) -> list[Json]:
    found = await there.query("uploads.list")
    assert isinstance(found, dict)
    assert isinstance(found["items"], list)
    return found["items"]


async def test_what_is_wrong_with_certificates_is_said(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    async with opened(tmp_path, *plant.settings()) as host:
        url = f"grpcs://{host.part.address.removeprefix('grpcs://')}"
        mine = plant.client(ANN).save(plant.folder, "mine")
        shown = {"cert": mine, "key": mine.with_suffix(".key")}
        write(plant.folder / "others.pem", authority("others").pem())
        await host.do("principals.add", name=ANN, kind="program", role="viewer")
        there = connect(Destination(url=url, ca=plant.folder / "servers.pem", **shown), patience=1, door="cli")
        assert (await there.whoami()).principal == ANN
        await there.close()
        wrong = connect(Destination(url=url, ca=plant.folder / "others.pem", **shown), patience=1, door="cli")
        with pytest.raises(Unavailable) as error:
            await wrong.hello()
        assert f"cannot reach a host at {url}: " in error.value.message
        assert "its certificate is not by an authority in the file `ca`" in error.value.message
        await wrong.close()


async def test_who_shows_nothing_is_told_how(tmp_path: Path) -> None:
    async with opened(tmp_path, 'listen=["127.0.0.1:0"]') as host:
        url = f"grpc://{host.part.address}"
        for token, told in ((None, "put an API token into $TRUNNION_TOKEN"), ("wrong", "not valid")):
            there = connect(Destination(url=url, token=token), patience=1, door="cli")
            with pytest.raises(TrunnionError) as error:
                await there.hello()
            assert error.value.code == "unauthenticated"
            assert told in error.value.message
            await there.close()
