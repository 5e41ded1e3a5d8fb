"""What somebody in trouble reads at a terminal: which attempt it was, what time ran out, what to do."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from trunnion.launcher import doctor

FLAKY = '''
from trunnion import Context, Retry, Unavailable, command, commands_of, hookimpl
import sys


@command(console="flaky", retry=Retry(attempts=3, delay=0))
def valve(ctx: Context) -> int:
    """Opens at the third attempt."""
    if ctx.attempt < 3:
        raise Unavailable("the valve is busy")
    return ctx.attempt


@hookimpl
def trunnion_commands(settings):
    return commands_of(sys.modules[__name__])
'''


def test_the_last_line_names_the_attempt(place):
    (place.root / "plugins" / "flaky.py").write_text(FLAKY)
    done = place.run("--only", "flaky", "run", "flaky.valve")
    assert done.code == 0, done
    assert "attempt 2 failed" in done.err
    assert done.err.rstrip().endswith(", at attempt 3")


def test_a_command_that_was_too_slow_names_its_timeout(shared):
    done = shared.run("run", "demo.late")
    assert done.code == 10
    assert "demo.late took longer than its timeout of 0.2 s" in done.err
    assert "attempt" not in done.err


def test_a_census_without_a_host_says_that_none_runs(place):
    assert place.run("run", "demo.greet").code == 0
    census = place.run("query", "host.census")
    assert (census.code, census.out) == (9, "")
    assert "no host is running" in census.err


def test_a_start_in_safe_mode_says_so(place):
    host = place.up("--safe-mode")
    assert "safe mode: no plugin but the host's own" in host.stdout.readline()


@pytest.mark.parametrize(("free", "fine"), [(1 << 20, False), (1 << 40, True)])
def test_doctor_says_what_little_space_leads_to(tmp_path, monkeypatch, free, fine):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    (finding,) = doctor._space(SimpleNamespace(data=SimpleNamespace(root=tmp_path)))
    assert finding.ok is fine
    assert ("make space" in finding.seen) is not fine
