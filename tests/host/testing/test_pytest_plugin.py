"""The fixture, in a pytest of its own; and what it costs those who do not use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NAME = "trunnion.testing.pytest_plugin"

TESTS = """
import pytest
from trunnion import command

@command(console="t")
def hi(name: str = "you") -> str:
    return f"hi {name}"

def test_plain(trunnion_host, tmp_path_factory):
    with trunnion_host(commands=[hi]) as first, trunnion_host(commands=[hi]) as second:
        assert first.result("t.hi") == second.result("t.hi", name="you") == "hi you"
        root = first.host.data.root
        assert root != second.host.data.root
    assert root.is_relative_to(tmp_path_factory.getbasetemp()) and root.is_dir()

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_asynchronous(trunnion_host):
    async with trunnion_host(commands=[hi]) as host:
        assert await host.result("t.hi") == "hi you"
"""

LIGHT = f"""
import json, sys
import pytest
before = set(sys.modules)
import {NAME}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def call(*words: str, cwd: Path) -> str:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=60, cwd=cwd, env=environ, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_fixture_serves_both_kinds_of_test(tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    assert "2 passed" in call("-m", "pytest", "-q", "-p", NAME, "test_it.py", cwd=tmp_path)


def test_loading_it_costs_next_to_nothing(tmp_path):
    modules = set(json.loads(call("-c", LIGHT, cwd=tmp_path)))
    assert modules == {"trunnion", "trunnion.testing", NAME}


def test_pytest_finds_it_under_the_name_of_its_module():
    project = tomllib.loads((ROOT / "host/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {NAME: NAME}
