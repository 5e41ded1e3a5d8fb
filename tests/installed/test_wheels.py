"""What a user installs: wheels of every distribution, in environments with nothing else in them."""

from __future__ import annotations

import email
import json
import os
import zipfile
from pathlib import Path

import pexpect
import pytest
from installed_kit import PROJECTS, call, environment


def test_the_wheels_carry_one_version_and_what_belongs_to_them(wheels: Path) -> None:
    versions = set()
    for wheel in wheels.iterdir():
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
            fields = email.message_from_bytes(archive.read(metadata))
        versions.add(fields["Version"])
        assert fields["License-Expression"] == "MIT"
        assert not [name for name in names if "test" in Path(name).parts[0] or name.endswith(".pyc")]
        if fields["Name"] == "trunnion-host":
            assert "trunnion/py.typed" in names
        if fields["Name"] == "trunnion-rpc":
            assert {f"trunnion_rpc/v1/runtime{end}" for end in (".proto", "_pb2.py", "_pb2_grpc.py")} <= set(names)
        if fields["Name"] == "trunnion":
            assert all(".dist-info/" in name for name in names)
    assert len(list(wheels.iterdir())) == len(PROJECTS)
    assert len(versions) == 1


@pytest.mark.parametrize(
    ("requirement", "plugins"),
    [
        ("trunnion-host", set()),
        ("trunnion[scripts]", {"scripts"}),
        ("trunnion[tty]", {"tty"}),
        ("trunnion[all]", {"audit", "rpc", "scripts", "tty"}),
    ],
    ids=["host alone", "with scripts", "with tty", "all"],
)
def test_an_installation_runs_and_knows_its_plugins(
    tmp_path: Path, wheels: Path, requirement: str, plugins: set[str]
) -> None:
    programs = environment(tmp_path / "env", wheels, requirement)
    version = next(wheels.glob("trunnion_host-*")).name.split("-")[1]
    assert version in call(programs / "trunnion", "--version", cwd=tmp_path)
    listed = call(programs / "trunnion", "--data-dir", tmp_path / "data", "plugins", "--json", cwd=tmp_path)
    records = json.loads(listed)
    assert {record["id"]: record["state"] for record in records} == dict.fromkeys(plugins, "loaded")
    assert {record["version"] for record in records} <= {version}
    elsewhere = f"{programs / 'trunnion'} --connect grpc://127.0.0.1:1 runs list 2>&1; test $? = 9"
    told = "Connection refused" if "rpc" in plugins else "pip install 'trunnion[rpc]'"
    assert told in call("sh", "-c", elsewhere, cwd=tmp_path)
    if "tty" in plugins:
        shell_works(programs, tmp_path)


def shell_works(programs: Path, folder: Path) -> None:
    """Lines without a person, and somebody at a terminal; each shell has a host of its own."""
    asked = (programs / "trunnion", "--data-dir", folder / "data", "shell", "-c", "help")
    assert "COMMAND &" in call(*asked, cwd=folder)
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV", "VIRTUAL_ENV"))}
    shell = pexpect.spawn(
        str(programs / "trunnion"),
        ["--data-dir", str(folder / "data"), "shell"],
        env={**environ, "TERM": "xterm"},
        cwd=str(folder),
        timeout=30,
        encoding="utf-8",
    )
    with shell:
        shell.expect("started by this shell")
        shell.send("help\r")
        shell.expect("Run it in the background")
        shell.send("quit\r")
        shell.expect(pexpect.EOF)
    assert shell.exitstatus == 0


CALLED = """
import asyncio, pathlib
from trunnion import Host, HostOptions
from trunnion_rpc.client import Client

async def main():
    options = HostOptions(data_dir=pathlib.Path("data"), overrides=("rpc.enabled=true", "rpc.audit=off-i-know"))
    async with Host(options) as host, await Client.connect(host.data.run.absolute() / "rpc.sock") as client:
        print((await client.query("host.status"))["version"])

asyncio.run(main())
"""


def test_the_door_for_grpc_works_from_the_wheel_alone(tmp_path: Path, wheels: Path) -> None:
    """With its stubs, and nothing that makes them."""
    programs = environment(tmp_path / "env", wheels, "trunnion[rpc]")
    version = next(wheels.glob("trunnion_host-*")).name.split("-")[1]
    assert call(programs / "python", "-c", CALLED, cwd=tmp_path).strip() == version
    assert "grpcio-tools" not in call(programs / "python", "-c", LISTED, cwd=tmp_path)
    listed = call(programs / "trunnion", "--data-dir", tmp_path / "data", "plugins", "--json", cwd=tmp_path)
    assert {record["id"]: record["state"] for record in json.loads(listed)} == {"rpc": "loaded"}


LISTED = "from importlib.metadata import distributions as d; print(*(each.name for each in d()))"
