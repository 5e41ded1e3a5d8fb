"""Deny by default: when the door opens, where, for whom, and what it shows to whom."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from rpc_kit import Demo, Raw, Rpc, opened, refused

from trunnion import Allow, Gate, Host, HostOptions, Invocation, TrunnionError, hookimpl
from trunnion_rpc import plugin as rpc
from trunnion_rpc.places import socket_of
from trunnion_rpc.v1 import runtime_pb2 as pb


class Audit:
    """A gate, as an audit has."""

    def __init__(self, *covers: str, records: bool = True) -> None:
        self._gate = Gate(name="audit", admit=self.admit, covers=frozenset(covers), records=records)
        self.asked: list[str] = []

    async def admit(self, batch):
        self.asked += [f"{admission.kind} {admission.target}" for admission in batch]
        return [Allow() for _ in batch]

    @hookimpl
    def trunnion_gates(self, settings: object) -> list[Gate]:
        return [self._gate]


# -- when it opens -----------------------------------------------------------------------------------------


async def test_it_is_shut_unless_it_is_opened(tmp_path: Path) -> None:
    options = HostOptions(data_dir=tmp_path / "data", strict=True)
    async with Host(options, plugins={"rpc": rpc}, discovery=False, environ={}) as host:
        assert [part.name for part in host.kernel.parts] == ["socket"]
        assert not socket_of(host.data.run).exists()


async def test_the_operator_opens_it_by_its_name_too(tmp_path: Path) -> None:
    options = HostOptions(data_dir=tmp_path / "data", overrides=("frontends.rpc=true", "rpc.audit=off-i-know"))
    async with Host(options, plugins={"rpc": rpc}, discovery=False, environ={}) as host:
        assert {part.name: part.status for part in host.kernel.parts} == {"rpc": "ready", "socket": "ready"}


@pytest.mark.parametrize(
    "gates",
    [{}, {"audit": Audit("commands", records=False)}, {"audit": Audit("queries", "streams")}],
    ids=["none", "one that records nothing", "one that records no commands"],
)
async def test_it_stays_shut_where_nothing_is_recorded(tmp_path: Path, gates: dict) -> None:
    """Defence: ``require_record``."""
    async with opened(tmp_path, "audit=required", plugins=gates) as host:
        assert host.part.status == "failed"
        assert "off-i-know" in host.part.reason
        assert host.part.crashes == 1
        assert not host.socket.exists()


async def test_it_opens_where_commands_are_recorded(tmp_path: Path) -> None:
    audit = Audit("commands", "queries", "streams")
    async with opened(tmp_path, "audit=required", plugins={"audit": audit}) as host, host.client() as client:
        run = await client.run(Invocation(command_id="demo.greet", args={"name": "A"}))
        await client.query("demo.count")
        assert [batch async for batch in client.follow(f"run/{run.id}")]
        assert audit.asked == ["command demo.greet", "query demo.count", f"stream run/{run.id}"]


# -- the socket of the owner -------------------------------------------------------------------------------


async def test_the_socket_is_the_owners_alone(host: Rpc) -> None:
    """Defence: ``_bound`` takes all rights from others."""
    assert stat.S_IMODE(host.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(host.socket.parent.stat().st_mode) == 0o700


async def test_it_is_gone_with_the_door(tmp_path: Path) -> None:
    async with opened(tmp_path) as host:
        assert host.socket.exists()
    assert not host.socket.exists()


async def test_one_that_a_killed_host_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "data" / "run" / "rpc.sock"
    path.parent.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with opened(tmp_path) as host, host.client() as client:
        assert (await client.host()).source == "rpc"


@pytest.mark.parametrize("what", ["served", "file"])
async def test_what_is_somebody_elses_is_left_alone(tmp_path: Path, what: str) -> None:
    path = tmp_path / "data" / "run" / "rpc.sock"
    path.parent.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as other:
        if what == "file":
            path.write_text("mine")
        else:
            other.bind(str(path))
            other.listen()
        inode = path.stat().st_ino
        async with opened(tmp_path) as host:
            assert (host.part.status, host.part.crashes) == ("failed", 1)
            assert "Conflict" in host.part.reason
            assert path.stat().st_ino == inode
    assert path.exists()


async def test_a_folder_with_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    """A socket's address has 107 characters at most."""
    deep = tmp_path / ("long" * 30) / ("deep" * 10)
    deep.mkdir(parents=True)
    async with opened(deep) as host, host.client() as client:
        assert len(str(host.socket)) > 200
        assert (await client.host()).principal
    assert not host.socket.exists()


# -- who calls ---------------------------------------------------------------------------------------------


async def test_a_token_that_is_shown_counts_on_the_owners_socket_too(host: Rpc) -> None:
    token = await host.person("vera", "viewer")
    async with host.client(token) as client:
        assert ((await client.host()).principal, (await client.host()).role) == ("vera", "viewer")


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", "Bearer trn_aaaaaaaaaaaa_" + "x" * 43)],
        [("authorization", "Bearer ")],
        [("authorization", "")],
        [("authorization", "Basic dmVyYTpwYXNz")],
        [("authorization", "TOKEN")],
        [("authorization", "Bearer TOKEN"), ("authorization", "Bearer TOKEN")],
    ],
    ids=["unknown", "empty", "nothing", "another scheme", "no scheme", "twice"],
)
async def test_a_credential_that_proves_nothing_is_never_the_owner(host: Rpc, metadata: list) -> None:
    """Defence: ``Identity.caller`` takes silence for the owner, nothing else."""
    token = await host.person("vera", "viewer")
    given = tuple((name, value.replace("TOKEN", token)) for name, value in metadata)
    async with Raw(host.socket) as raw:
        raw.metadata = given
        error = await refused(raw.ask("GetHost", pb.GetHostRequest()))
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED
        stream = await refused(raw.listen("StreamEvents", pb.StreamEventsRequest(stream="host")).read())
        assert stream.code() == grpc.StatusCode.UNAUTHENTICATED
        bringing = await refused(raw.bring(pb.WriteUploadRequest(upload_id="u")))
        assert bringing.code() == grpc.StatusCode.UNAUTHENTICATED
    told = [event.data for event in await access_events(host) if event.data["code"] == "access.refused"]
    assert len(told) == 3
    assert {event["source"] for event in told} == {"rpc"}


async def access_events(host: Rpc) -> list:
    door, caller = host.host.door("cli"), host.host.local_caller()
    await host.host.kernel.waiting.flush(host.host.kernel.log.stream("host/access"))
    return [event async for batch in door.follow(caller, "host/access", live=False) for event in batch]


async def test_whoever_guesses_is_slowed_down_and_told_for_how_long(host: Rpc) -> None:
    async with Raw(host.socket, "trn_aaaaaaaaaaaa_" + "x" * 43) as raw:
        codes = [(await refused(raw.ask("GetHost", pb.GetHostRequest()))) for _ in range(6)]
        assert [error.code().name for error in codes] == ["UNAUTHENTICATED"] * 5 + ["RESOURCE_EXHAUSTED"]
        status = Status.FromString(dict(codes[-1].trailing_metadata())["grpc-status-details-bin"])
        retry = RetryInfo()
        assert any(detail.Unpack(retry) for detail in status.details)
        assert retry.retry_delay.seconds == 1


async def test_a_token_that_is_revoked_ends_what_it_follows(host: Rpc) -> None:
    token = await host.person("ada", "operator")
    async with host.client(token) as client:
        run = await client.submit(Invocation(command_id="demo.hold"))
        following = asyncio.create_task(_all(client.follow(f"run/{run.id}")))
        changes = asyncio.create_task(_all(client.follow_runs()))
        waiting = asyncio.create_task(client.wait(run.id))
        await host.demo.begun.wait()
        await host.do("tokens.revoke", id=token.split("_")[1])
        for task in (following, changes, waiting):
            with pytest.raises(TrunnionError) as ended:
                await asyncio.wait_for(task, 10)
            assert ended.value.code == "unauthenticated"


async def _all(batches) -> list:
    return [batch async for batch in batches]


# -- what may be reached -----------------------------------------------------------------------------------


async def test_what_is_not_exposed_is_not_there_for_the_owner_either(host: Rpc) -> None:
    async with host.client() as client:
        for name in ("demo.closed", "artifacts.verify", "principals.add", "no.such"):
            with pytest.raises(TrunnionError) as unseen:
                await client.submit(Invocation(command_id=name))
            assert unseen.value.code == "not_found"
            with pytest.raises(TrunnionError) as unasked:
                await client.query(name)
            assert unasked.value.code == "not_found"
        with pytest.raises(TrunnionError) as unfollowed:
            await _all(client.follow("host/log"))
        assert unfollowed.value.code == "not_found"


async def test_a_path_of_the_hosts_machine_is_no_argument_at_this_door(host: Rpc, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    async with host.client() as client:
        with pytest.raises(TrunnionError) as unread:
            await client.submit(Invocation(command_id="demo.read", args={"file": str(tmp_path / "secret")}))
        assert unread.value.code == "invalid_arguments"


async def test_what_the_operator_withholds_from_the_door_has_no_other_way_through(tmp_path: Path) -> None:
    """The verbs of the protocol are as closed as the commands and queries of the same purpose."""
    config = tmp_path / "trunnion.toml"
    config.write_text('[access.withhold]\n"runs.*" = ["rpc"]\n"host.meta" = ["rpc"]\n"uploads.*" = ["rpc"]\n')
    options = HostOptions(
        data_dir=tmp_path / "data", config_path=config, overrides=("rpc.enabled=true", "rpc.audit=off-i-know")
    )
    async with Host(options, plugins={"rpc": rpc, "demo": Demo()}, discovery=False, environ={}) as running:
        host = Rpc(running, Demo())
        async with host.client() as client:
            run = await client.submit(Invocation(command_id="demo.greet", args={"name": "A"}))
            for closed in (
                client.get(run.id),
                client.wait(run.id),
                client.cancel(run.id),
                client.list_runs(),
                client.meta(),
                client.files.upload(b"x"),
                _all(client.follow_runs()),
            ):
                with pytest.raises(TrunnionError) as unseen:
                    await closed
                assert unseen.value.code == "not_found"
            assert (await _all(client.follow(f"run/{run.id}")))[-1][-1].kind == "state"
        async with Raw(host.socket) as raw:  # the call is answered, with what may be told of its run
            greet = pb.InvokeRequest(command_id="demo.greet", args_json=b'{"name":"A"}', wait_seconds=9)
            answer = await raw.ask("Invoke", greet)
            assert answer.run.status in (pb.RUN_STATUS_PENDING, pb.RUN_STATUS_RUNNING)


VERBS = {
    "get": lambda client, run, artifact: client.get(run),
    "wait": lambda client, run, artifact: client.wait(run, 0.1),
    "cancel": lambda client, run, artifact: client.cancel(run),
    "follow": lambda client, run, artifact: _all(client.follow(f"run/{run}", live=False)),
    "content": lambda client, run, artifact: client._content(pb.ReadContentRequest(run_id=run)),
    "event": lambda client, run, artifact: client._content(
        pb.ReadContentRequest(event=pb.EventContent(stream=f"run/{run}", seq=1))
    ),
    "result": lambda client, run, artifact: client.query("runs.result", {"run_id": run}),
    "artifact": lambda client, run, artifact: _all(client.files.read(artifact)),
}


async def test_j10_the_runs_of_others_are_not_there(host: Rpc) -> None:
    """All verbs, for everybody: ann's runs are for ann, for admins, and for whoever has a grant on ``runs:``."""
    people = {
        "ann": await host.person("ann", "operator"),
        "vera": await host.person("vera", "viewer"),
        "otto": await host.person("otto", "operator"),
        "adam": await host.person("adam", "admin"),
        "gina": await host.person("gina", None, "runs:demo.*"),
        "tom": await host.person("tom", None),
    }
    async with host.client(people["ann"]) as ann:
        kept = await ann.run(Invocation(command_id="demo.keep", args={"size": 512}))
        matrix: dict[str, set[str]] = {}
        for name, token in people.items():
            async with host.client(token) as client:
                for verb, call in VERBS.items():
                    try:
                        await call(client, kept.id, kept.result)
                        matrix.setdefault(name, set()).add(verb)
                    except TrunnionError as error:
                        assert error.code == "not_found", (name, verb, error)
                listed = [run.id for run in (await client.list_runs()).items] if name not in ("tom", "gina") else []
                assert (kept.id in listed) == (name in ("ann", "adam"))
    assert matrix == {
        "ann": set(VERBS),
        "adam": set(VERBS),
        "gina": set(VERBS) - {"result"},  # a query, on which she has no role
    }


async def test_viewers_of_runs_look_and_do_not_cancel(host: Rpc) -> None:
    token = await host.person("vic")
    await host.do("grants.add", principal="vic", role="viewer", on=["runs:demo.*"])
    async with host.client() as owner, host.client(token) as vic:
        run = await owner.submit(Invocation(command_id="demo.hold"))
        assert (await vic.get(run.id)).id == run.id
        with pytest.raises(TrunnionError) as error:
            await vic.cancel(run.id)
        assert error.value.code == "forbidden"
        host.demo.go.set()
