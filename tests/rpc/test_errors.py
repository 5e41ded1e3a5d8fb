"""How a refusal is told: the status, the details in standard forms, and that it always fits into a header."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from rpc_kit import Raw, Rpc

from trunnion import Unavailable
from trunnion.model.errors import ERROR_TABLE
from trunnion.model.errors import ErrorInfo as Info
from trunnion.protocol.client_errors import RemoteError
from trunnion_rpc.errors import LONGEST, LONGEST_TEXT, OWN, Refusal, cut, error_of, info_of
from trunnion_rpc.v1 import runtime_pb2 as pb


def details(trailers: object) -> Status:
    return Status.FromString(dict(trailers)["grpc-status-details-bin"])


def found(status: Status, kind: type[Message]) -> Message | None:
    made = kind()
    return next((made for detail in status.details if detail.Unpack(made)), None)


class Failure(grpc.aio.AioRpcError):
    """What a client sees of a refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status, None, refusal.trailers, refusal.text)


@pytest.mark.parametrize("code", ERROR_TABLE)
def test_every_code_has_its_status_and_comes_back_as_it_was(code: str) -> None:
    refusal = Refusal(Info(code, "what happened", {"a": 1, "b": ["c"]}))
    assert refusal.status.name == ERROR_TABLE[code].grpc
    status = details(refusal.trailers)
    assert (status.code, status.message) == (refusal.status.value[0], "what happened")
    assert found(status, ErrorInfo).reason == code.upper()
    assert error_of(Failure(refusal)).info == Info(code, "what happened", {"a": 1, "b": ["c"]})


def test_arguments_that_do_not_fit_are_violations_of_fields() -> None:
    problems = [{"path": "ports[2]", "message": "expected a whole number"}, {"path": "", "message": "too few"}]
    status = details(Refusal(Info("invalid_arguments", "no", {"problems": problems})).trailers)
    violations = found(status, BadRequest).field_violations
    assert [(each.field, each.description) for each in violations] == [
        ("ports[2]", "expected a whole number"),
        ("", "too few"),
    ]


def test_when_to_try_again_is_a_retry_info() -> None:
    status = details(Refusal(Info("busy", "later", {"retry_after": 1.5})).trailers)
    delay = found(status, RetryInfo).retry_delay
    assert (delay.seconds, delay.nanos) == (1, 500_000_000)


@pytest.mark.parametrize("odd", [True, "1", -1, 0, 1e9, None, [1]])
def test_what_is_no_number_of_seconds_is_none(odd: object) -> None:
    assert found(details(Refusal(Info("busy", "later", {"retry_after": odd})).trailers), RetryInfo) is None


def test_short_facts_are_in_the_standard_form_too() -> None:
    status = details(Refusal(Info("not_found", "no", {"run_id": "r", "long": "x" * 1000, "n": 1})).trailers)
    assert dict(found(status, ErrorInfo).metadata) == {"run_id": "r"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=3000),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=30), inner, max_size=20),
    max_leaves=40,
)
PROBLEM = st.fixed_dictionaries({"path": st.text(max_size=400), "message": st.text(max_size=2000)}) | JSON


@given(
    st.sampled_from(sorted(ERROR_TABLE)),
    st.text(max_size=10_000),
    st.dictionaries(st.text(max_size=20), JSON, max_size=8),
    st.lists(PROBLEM, max_size=60),
)
def test_whatever_it_says_it_fits_into_a_header(code: str, text: str, facts: dict, problems: list) -> None:
    """Defence: ``LONGEST``; with more than 8 KiB a client of gRPC gets RESOURCE_EXHAUSTED instead of the error."""
    refusal = Refusal(Info(code, text, {**facts, "problems": problems}))
    (value,) = [value for _, value in refusal.trailers]
    assert len(value) <= LONGEST
    assert len(refusal.text.encode()) <= LONGEST_TEXT
    own = found(details(refusal.trailers), pb.Error)
    assert own.ByteSize() <= OWN
    assert own.code == code
    told = info_of(own)
    assert text.startswith(told.message.removesuffix("…"))
    if not own.incomplete:
        assert told == Info(code, text, {**facts, "problems": problems})


def test_what_does_not_fit_any_more_is_left_out() -> None:
    facts = {f"fact{n}": "x" * 150 for n in range(100)}
    (value,) = [value for _, value in Refusal(Info("conflict", "y" * 10_000, facts)).trailers]
    assert len(value) <= LONGEST
    assert found(Status.FromString(value), ErrorInfo) is None
    assert found(Status.FromString(value), pb.Error).incomplete


def test_what_has_no_form_in_json_stays_behind() -> None:
    for odd in ({"a": object()}, {"a": "\ud800"}):
        refusal = Refusal(Info("failed", "lone \ud800 half", odd))
        own = found(details(refusal.trailers), pb.Error)
        assert (own.incomplete, own.details_json) == (True, b"")
        assert "\\ud800" in own.message


@given(st.text(max_size=300), st.integers(3, 100))
def test_a_text_is_cut_between_characters(text: str, most: int) -> None:
    assert len(cut(text, most).encode()) <= most
    assert cut(text, 10_000) == text


def test_what_the_host_did_not_say_is_told_by_the_status() -> None:
    def failed(code: grpc.StatusCode, trailers: tuple = ()) -> Exception:
        return error_of(grpc.aio.AioRpcError(code, None, trailers, "the words of gRPC"))

    assert isinstance(failed(grpc.StatusCode.UNAVAILABLE), Unavailable)
    assert isinstance(failed(grpc.StatusCode.INTERNAL), Unavailable)
    late = failed(grpc.StatusCode.DEADLINE_EXCEEDED, (("grpc-status-details-bin", b"\xff\xff"),))
    assert isinstance(late, RemoteError)
    assert late.info == Info("deadline_exceeded", "the words of gRPC")


# -- over a line -----------------------------------------------------------------------------------------


async def test_a_refusal_over_a_line(raw: Raw) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await raw.ask("Invoke", pb.InvokeRequest(command_id="demo.greet", args_json=b'{"name":5,"nope":1}'))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    violations = found(details(error.value.trailing_metadata()), BadRequest).field_violations
    assert sorted(each.field for each in violations) == ["name", "nope"]


async def test_thousands_of_problems_are_told_as_far_as_there_is_room(raw: Raw) -> None:
    many = ",".join(f'"unknown{n}":1' for n in range(5000))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await raw.ask("Invoke", pb.InvokeRequest(command_id="demo.greet", args_json=b"{%b}" % many.encode()))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert found(details(error.value.trailing_metadata()), pb.Error).incomplete


async def test_a_defect_tells_its_name_and_nothing_else(host: Rpc, raw: Raw, monkeypatch, caplog) -> None:
    """Defence: ``Guard._refusing`` takes everything; the traceback is in the host's log."""

    def broken(*args: object) -> None:
        raise RuntimeError("/etc/passwd and the line it stands in")

    monkeypatch.setattr(type(host.host.kernel.meta), "meta", broken)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await raw.ask("GetMeta", pb.GetMetaRequest())
    assert error.value.code() == grpc.StatusCode.INTERNAL
    assert error.value.details() == "GetMeta failed; the host's log says why"
    assert "passwd" not in str(error.value.trailing_metadata())
    assert "passwd" in caplog.text


async def test_a_query_that_raises_is_told_as_at_every_door(host: Rpc, raw: Raw) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await raw.ask("Query", pb.QueryRequest(query_id="demo.broken"))
    assert error.value.code() == grpc.StatusCode.INTERNAL
    assert "Traceback" not in str(error.value)
