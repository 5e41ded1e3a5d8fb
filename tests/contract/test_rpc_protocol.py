"""The gRPC protocol: its stubs are those of the file, every name is of one style, and everything in it is explained."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from trunnion.model.errors import ERROR_TABLE
from trunnion.model.status import TERMINAL
from trunnion_rpc.encoding import STATUSES
from trunnion_rpc.service import METHODS, SERVICE
from trunnion_rpc.v1 import runtime_pb2

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_stubs", ROOT / "tools" / "write_stubs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def protocol(tool: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorProto:
    out = tmp_path_factory.mktemp("protocol") / "set"
    words = [f"--proto_path={tool.PROTOCOL}", f"--descriptor_set_out={out}", "--include_source_info", tool.SOURCE]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *words], check=True)
    (file,) = FileDescriptorSet.FromString(out.read_bytes()).file
    return file


def test_the_stubs_are_current(tool: ModuleType) -> None:
    for name, text in tool.made().items():
        assert (tool.STUBS / name).read_text(encoding="utf-8") == text, f"{name} is not what is made: make stubs"


def test_everything_has_a_comment(protocol: FileDescriptorProto) -> None:
    commented = {tuple(place.path) for place in protocol.source_code_info.location if place.leading_comments.strip()}
    missing = [name for path, name in declared(protocol) if path not in commented]
    assert missing == []


def declared(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """The place of everything that has a name, as protoc numbers it; entries of maps are nobody's."""
    for n, message in enumerate(file.message_type):
        yield (4, n), message.name
        yield from (((4, n, 2, m), f"{message.name}.{field.name}") for m, field in enumerate(message.field))
        real = [m for m, oneof in enumerate(message.oneof_decl) if not oneof.name.startswith("_")]
        yield from (((4, n, 8, m), f"{message.name}.{message.oneof_decl[m].name}") for m in real)
    for n, enum in enumerate(file.enum_type):
        yield (5, n), enum.name
        yield from (((5, n, 2, m), value.name) for m, value in enumerate(enum.value))
    for n, service in enumerate(file.service):
        yield (6, n), service.name
        yield from (((6, n, 2, m), method.name) for m, method in enumerate(service.method))


def test_names_are_as_linters_of_protocols_want_them(protocol: FileDescriptorProto) -> None:
    assert protocol.package == "trunnion.v1"
    (service,) = protocol.service
    assert service.name.endswith("Service")
    asked = [method.input_type.rpartition(".")[2] for method in service.method]
    answered = [method.output_type.rpartition(".")[2] for method in service.method]
    assert asked == [f"{method.name}Request" for method in service.method]
    assert answered == [f"{method.name}Response" for method in service.method]
    for message in protocol.message_type:
        assert re.fullmatch(r"(?:[A-Z][a-z0-9]*)+", message.name)
        assert all(re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", field.name) for field in message.field)
    for enum in protocol.enum_type:
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
        assert all(value.name.startswith(prefix) for value in enum.value)
        assert enum.value[0].name == f"{prefix}UNSPECIFIED"


def test_every_method_is_performed_and_no_other(protocol: FileDescriptorProto) -> None:
    (service,) = protocol.service
    assert f"{protocol.package}.{service.name}" == SERVICE
    assert list(METHODS) == [method.name for method in service.method]


def test_every_status_of_a_run_has_a_number() -> None:
    assert set(STATUSES.values()) | {runtime_pb2.RUN_STATUS_UNSPECIFIED} == set(runtime_pb2.RunStatus.values())
    assert set(STATUSES) >= TERMINAL


def test_the_codes_of_errors_are_statuses_of_grpc() -> None:
    import grpc

    assert all(hasattr(grpc.StatusCode, row.grpc) for row in ERROR_TABLE.values())
