"""J11: an old client and a new host, and the other way round: by what each release said, and by its protocol."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from corpus_kit import (
    DETAILS,
    Exchange,
    Names,
    Playback,
    Release,
    load,
    protocol,
    record,
    releases,
    serving,
    session,
    told,
)
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from rpc_kit import Raw, Rpc

from trunnion import StaleMeta, TrunnionError
from trunnion_rpc.client import Client
from trunnion_rpc.decoding import run_of
from trunnion_rpc.service import METHODS
from trunnion_rpc.v1 import runtime_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
LATER = b"\xfa\x3f\x03abc\x80\x40\x01"
"""Fields 1023 and 1024, as a later version may have them."""

STABLE = """
command_id status kind level by text code message name size media_type value_json category role source attempt
not_modified reset
"""
SAME = frozenset(STABLE.split())
"""Fields whose values are the same each time."""

EARLY = re.compile(r"\.run\.(?:status|started_us|finished_us|result_json|last_seq)\b")
"""What a run has, or not yet, when nobody waited for its end."""


# -- what was said -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", releases())
async def test_j11_an_old_client_and_this_host(host: Rpc, raw: Raw, release: str, figure) -> None:
    """It reads in the answers all that it read then."""
    kept, names = load(release), Names()
    for exchange in kept.exchanges:
        await as_then(raw, kept, names, exchange)
    figure("calls", len(kept.exchanges))


@pytest.mark.parametrize("release", releases())
async def test_j11_a_client_that_sends_more_than_this_host_knows(host: Rpc, raw: Raw, release: str) -> None:
    kept, names = load(release), Names()
    for exchange in kept.exchanges:
        await as_then(raw, kept, names, exchange._replace(requests=[each + LATER for each in exchange.requests]))


async def as_then(raw: Raw, kept: Release, names: Names, exchange: Exchange) -> None:
    kind = kept.kind(exchange.method, "Response")
    answers, code, details = await said_now(raw, exchange, names)
    assert code == exchange.code
    then, now = [kind.FromString(each) for each in exchange.answers], [kind.FromString(each) for each in answers]
    for old, new in zip(then, now, strict=False):
        names.learn(old, new)
    missing = lines(then) - lines(now)
    waits = exchange.method == "Invoke" and pb.InvokeRequest.FromString(exchange.requests[0]).HasField("wait_seconds")
    if exchange.method in ("Invoke", "CancelRun") and not waits:
        missing = {line for line in missing if not EARLY.search(line)}
    assert not missing, (exchange.method, missing)
    assert _error(kept, exchange.details) == _error(kept, details)


async def said_now(raw: Raw, exchange: Exchange, names: Names) -> tuple[list[bytes], str, bytes]:
    """The answers to the requests of then, at most as many as then: some streams go on."""
    call = raw.channel.stream_stream(f"/trunnion.v1.RuntimeService/{exchange.method}")(metadata=raw.metadata)
    answers: list[bytes] = []
    try:
        for request in exchange.requests:
            await call.write(names.put(request))
        await call.done_writing()
        while (answer := await call.read()) is not grpc.aio.EOF:
            answers.append(answer)
            if exchange.method == "StreamRuns" and len(answers) == len(exchange.answers):
                call.cancel()
                return answers, exchange.code, b""
        code = (await call.code()).name
        trailers = dict(await call.trailing_metadata() or ())
    except grpc.aio.AioRpcError as error:
        code, trailers = error.code().name, dict(error.trailing_metadata() or ())
    return answers, code, bytes(trailers.get(DETAILS, b""))


def lines(messages: list[Message]) -> set[str]:
    return {line for message in messages for line in told(message, SAME)}


def _error(kept: Release, details: bytes) -> list[str]:
    """The host's own error, as a client of then reads it."""
    kind = kept.kind("Error", "")
    found = []
    for part in Status.FromString(details).details:
        made = kind()
        if part.Unpack(made):
            found += told(made, SAME)
    return found


@pytest.mark.parametrize("release", releases())
@pytest.mark.parametrize("more", [b"", LATER], ids=["as it was", "with later fields"])
async def test_j11_this_client_and_an_old_host(tmp_path: Path, release: str, more: bytes) -> None:
    """It makes of the answers what the client of then made of them, and of a later host's what it knows."""
    kept = load(release)
    exchanges = [each._replace(answers=[answer + more for answer in each.answers]) for each in kept.exchanges]
    async with serving(Playback(exchanges), tmp_path / "old.sock") as socket, Client(socket, patience=0) as client:
        assert await session(client) == kept.facts


async def test_j11_without_the_fault(tmp_path: Path) -> None:
    """What is recorded now is what a client of now makes of it."""
    kept = await record(tmp_path)
    assert [each.code for each in kept.exchanges].count("OK") > 20
    async with serving(Playback(kept.exchanges), tmp_path / "now.sock") as socket, Client(socket, patience=0) as client:
        assert await session(client) == kept.facts
    assert {each.method for each in kept.exchanges} == set(METHODS)


async def test_j11_a_call_that_an_earlier_host_does_not_have(tmp_path: Path) -> None:
    """It is told at once, and is not taken for a host that is away."""

    class Nothing(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> None:
            return None

    async with serving(Nothing(), tmp_path / "old.sock") as socket, Client(socket, patience=60) as client:
        with pytest.raises(TrunnionError, match="earlier version") as error:
            await client.host()
        assert error.value.code == "not_found"


def test_j11_a_status_of_a_later_version_is_named() -> None:
    with pytest.raises(StaleMeta, match=r"run r has status 99, .* later version"):
        run_of(pb.Run(id="r", status=99))  # type: ignore[arg-type]


def test_every_release_has_its_corpus() -> None:
    changes = ROOT / "CHANGELOG.md"
    released = re.findall(r"^## (\d+\.\d+\.\d+) ", changes.read_text(), re.M) if changes.exists() else []
    assert set(released) <= set(releases()), "record it with: python tests/rpc/corpus_kit.py"
    assert releases()


# -- the protocol ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", releases())
def test_j11_the_protocol_only_grows(release: str) -> None:
    assert list(broken(load(release).protocol, protocol())) == []


def broken(old: FileDescriptorProto, new: FileDescriptorProto) -> Iterator[str]:
    """What somebody who knows the old protocol would stumble over in the new one."""
    if old.package != new.package:
        yield f"the package is {new.package}"
    yield from _messages("", old.message_type, new.message_type)
    yield from _enums("", old.enum_type, new.enum_type)
    services = {service.name: service for service in new.service}
    for service in old.service:
        methods = {method.name: method for method in services[service.name].method} if service.name in services else {}
        for method in service.method:
            if method.name not in methods:
                yield f"{service.name}.{method.name} is gone"
            elif _form(methods[method.name]) != _form(method):
                yield f"{service.name}.{method.name} has another form"


def _form(method: object) -> tuple[object, ...]:
    return tuple(
        getattr(method, name) for name in ("input_type", "output_type", "client_streaming", "server_streaming")
    )


def _messages(path: str, old: list[DescriptorProto], new: list[DescriptorProto]) -> Iterator[str]:
    found = {message.name: message for message in new}
    for message in old:
        name = path + message.name
        if message.name not in found:
            yield f"{name} is gone"
            continue
        now = found[message.name]
        yield from _fields(name, message, now)
        yield from _messages(f"{name}.", message.nested_type, now.nested_type)
        yield from _enums(f"{name}.", message.enum_type, now.enum_type)


def _fields(name: str, old: DescriptorProto, new: DescriptorProto) -> Iterator[str]:
    found = {field.number: field for field in new.field}
    for field in old.field:
        if field.number not in found:
            yield f"{name}.{field.name} ({field.number}) is gone"
            continue
        now = found[field.number]
        for what in ("name", "type", "type_name", "label", "proto3_optional", "json_name"):
            if getattr(field, what) != getattr(now, what):
                yield f"{name}.{field.name} ({field.number}) has another {what}"
        if _choice(old, field) != _choice(new, now):
            yield f"{name}.{field.name} ({field.number}) is one of others"


def _choice(message: DescriptorProto, field: object) -> str:
    """The oneof that a field belongs to."""
    return message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""  # type: ignore[attr-defined]


def _enums(path: str, old: list[EnumDescriptorProto], new: list[EnumDescriptorProto]) -> Iterator[str]:
    found = {enum.name: {value.number: value.name for value in enum.value} for enum in new}
    for enum in old:
        for value in enum.value:
            if found.get(enum.name, {}).get(value.number) != value.name:
                yield f"{path}{value.name} ({value.number}) is gone or has another name"


def _changed(change: str) -> FileDescriptorProto:
    """The protocol with one thing changed."""
    made = protocol()
    messages = {message.name: message for message in made.message_type}
    run, asked = messages["Run"], messages["InvokeRequest"]
    match change:
        case "field gone":
            del run.field[3]
        case "field renumbered":
            run.field[3].number = 900
        case "field renamed":
            run.field[3].name = "other"
        case "type changed":
            run.field[1].type = run.field[0].type
        case "made a list":
            run.field[0].label = run.field[0].LABEL_REPEATED
        case "out of its oneof":
            asked.field[1].ClearField("oneof_index")
        case "message gone":
            made.message_type.remove(messages["Argv"])
        case "value gone":
            del made.enum_type[0].value[3]
        case "method gone":
            del made.service[0].method[2]
        case "method streams":
            made.service[0].method[1].server_streaming = True
        case "package":
            made.package = "trunnion.v2"
    return made


@pytest.mark.parametrize(
    ("change", "told_as"),
    [
        ("field gone", r"Run\.command_revision \(4\) is gone"),
        ("field renumbered", r"Run\.command_revision \(4\) is gone"),
        ("field renamed", r"Run\.command_revision \(4\) has another name"),
        ("type changed", r"Run\.num \(2\) has another type"),
        ("made a list", r"Run\.id \(1\) has another label"),
        ("out of its oneof", r"InvokeRequest\.args_json \(2\) is one of others"),
        ("message gone", r"Argv is gone"),
        ("value gone", r"RUN_STATUS_RUNNING \(3\) is gone"),
        ("method gone", r"RuntimeService\.Query is gone"),
        ("method streams", r"RuntimeService\.Invoke has another form"),
        ("package", r"the package is trunnion\.v2"),
    ],
)
def test_j11_without_the_defence_each_breaking_change_is_told(change: str, told_as: str) -> None:
    (only, *_) = broken(protocol(), _changed(change))
    assert re.match(told_as, only)


def test_j11_what_is_added_breaks_nothing() -> None:
    more = protocol()
    more.message_type[0].field.add(name="later", number=99, type=9, label=1, json_name="later")
    more.message_type.add(name="Later")
    more.enum_type[0].value.add(name="RUN_STATUS_LATER", number=9)
    more.service[0].method.add(name="Later", input_type=".trunnion.v1.Later", output_type=".trunnion.v1.Later")
    assert list(broken(protocol(), more)) == []
