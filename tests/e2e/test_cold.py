"""Without a running host, and how hosts start and stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

CONFIG = """
[host]
data_dir = "data"
[plugins]
dir = ["plugins"]
without = ["scripts"]
"""

SUBCOMMAND = """
import click

from trunnion import LazyCommand, hookimpl


@hookimpl
def trunnion_cli():
    return [LazyCommand(name="extra", help="Extra.", load=lambda: extra)]


@click.command()
@click.option("--name")
def extra(name):
    click.echo(f"extra {name}")
"""


def test_up_says_where_it_serves_and_ends_well_on_sigterm(place):
    host = place.up()
    lines = [host.stdout.readline()]
    while "run COMMAND" not in lines[-1]:
        lines.append(host.stdout.readline())
    shown = "".join(lines)
    assert f"socket: ready {place.data}/run/host.sock" in shown or f"{place.data}/run/host.sock" in shown
    host.send_signal(signal.SIGTERM)
    _, err = host.communicate(timeout=15)
    assert host.returncode == 0, err
    assert not (place.data / "run" / "host.sock").exists()


def test_a_second_signal_does_not_wait_for_runs(place):
    host = place.up("--set", "executor.shutdown_grace=600", "--set", "executor.cancel_grace=600")
    run_id = place.run("run", "--detach", "demo.stubborn").out.strip()
    host.send_signal(signal.SIGINT)
    assert "stopping" in host.stderr.readline()
    host.send_signal(signal.SIGINT)
    host.communicate(timeout=15)
    assert host.returncode == 0
    assert place.json("runs", "show", run_id)["status"] == "interrupted"


def test_a_host_that_stops_under_a_run_tells_its_client(place):
    host = place.up("--set", "executor.shutdown_grace=0.1")
    client = place.popen("run", "demo.nap")
    assert client.stdout.readline() == "asleep\n"
    host.send_signal(signal.SIGTERM)
    _, err = client.communicate(timeout=15)
    assert client.returncode == 11, err
    assert "interrupted" in err.splitlines()[-1]


def test_a_client_outlives_the_death_of_its_host(place):
    host = place.up()
    client = place.popen("run", "demo.nap")
    assert client.stdout.readline() == "asleep\n"
    host.kill()
    host.wait()
    place.up()
    out, err = client.communicate(timeout=15)
    assert (client.returncode, out) == (11, ""), err
    assert "interrupted" in err.splitlines()[-1]


@pytest.mark.alone
def test_five_hundred_sockets_and_128_descriptors(place):
    """The owner is answered all the while, and a run that was under way is not among those who make room."""
    place.up(nofile=128)
    working = place.popen("run", "demo.nap", str(place.root / "go"))
    assert working.stdout.readline() == "asleep\n"
    crowd = []
    slowest = 0.0
    for _ in range(2):
        for _ in range(250):
            crowd.append(socket.socket(socket.AF_UNIX))
            crowd[-1].connect(str(place.data / "run" / "host.sock"))
        began = time.monotonic()
        assert place.json("query", "host.status")["pid"]
        slowest = max(slowest, time.monotonic() - began)
    print(f"slowest answer, start of the program included: {slowest:.2f} s")
    assert slowest < 2.0
    for one in crowd:
        one.close()
    (place.root / "go").touch()
    out, err = working.communicate(timeout=15)
    assert (working.returncode, out) == (0, "awake\n"), err


def test_sigterm_leaves_a_run_of_a_host_running(place):
    place.up()
    client = place.popen("run", "demo.nap")
    assert client.stdout.readline() == "asleep\n"
    client.terminate()
    _, err = client.communicate(timeout=15)
    assert client.returncode == 130
    run_id = err.split("run/")[1].split()[0]
    assert place.json("runs", "show", run_id)["status"] == "running"


def test_a_cold_run_runs_in_a_host_of_its_own(place):
    done = place.run("run", "demo.greet", "Ada")
    assert (done.code, done.out) == (0, "looking for Ada\nhello Ada\n")
    run = place.json("run", "--json", "demo.show")
    assert run["result"] == {"bytes": 11}


def test_history_is_read_without_a_host_and_without_recovery(place):
    nap = place.popen("run", "demo.nap")
    assert nap.stdout.readline() == "asleep\n"
    nap.kill()
    nap.wait()
    for _ in range(2):
        [run] = place.json("runs", "list", "--json")["items"]
        assert run["status"] == "running", "reading recovers nothing"
    assert place.json("query", "runs.get", run["id"])["id"] == run["id"]
    assert "asleep" in place.run("runs", "events", run["id"]).out
    assert place.run("run", "demo.greet").code == 0
    assert place.json("runs", "show", run["id"])["status"] == "interrupted"


def test_a_second_cold_run_joins_the_first(place):
    go = place.root / "go"
    first = place.popen("run", "demo.nap", str(go))
    assert first.stdout.readline() == "asleep\n"
    second = place.run("run", "--json", "demo.greet")
    assert second.code == 0, second.err
    assert json.loads(second.out)["result"] == "hello you"
    go.touch()
    _, err = first.communicate(timeout=15)
    assert first.returncode == 0, err


def test_a_cold_host_stays_for_the_runs_of_those_who_joined(place):
    one, other = place.root / "one", place.root / "other"
    first = place.popen("run", "demo.nap", str(one))
    assert first.stdout.readline() == "asleep\n"
    second = place.popen("run", "demo.nap", str(other))
    assert second.stdout.readline() == "asleep\n"
    one.touch()
    while "other processes" not in first.stderr.readline():
        assert first.poll() is None
    other.touch()
    out, err = second.communicate(timeout=15)
    assert (second.returncode, out) == (0, "awake\n"), err
    assert first.wait(timeout=15) == 0


def test_cold_runs_that_start_at_the_same_time_all_succeed(place):
    racing = [place.popen("run", "--json", "demo.greet", f"n{n}") for n in range(3)]
    for n, process in enumerate(racing):
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert json.loads(out)["result"] == f"hello n{n}"


def test_what_others_left_pending_stays_pending_in_a_cold_run(place):
    host = place.up("--set", "executor.max_running=1")
    running = place.run("run", "--detach", "demo.nap").out.strip()
    waiting = place.run("run", "--detach", "demo.greet").out.strip()
    host.kill()
    host.wait()
    assert place.run("run", "demo.show").code == 0
    assert place.json("runs", "show", running)["status"] == "interrupted"
    assert place.json("runs", "show", waiting)["status"] == "pending"


def test_ctrl_c_without_a_host_cancels_and_a_second_one_interrupts(place):
    terminal = place.spawn("run", "demo.nap")
    terminal.expect("asleep")
    terminal.sendintr()
    terminal.expect("cancelled")
    terminal.wait()
    assert terminal.exitstatus == 130
    terminal = place.spawn("--set", "executor.cancel_grace=60", "run", "demo.stubborn")
    terminal.expect("asleep")
    terminal.sendintr()
    terminal.expect("one moment")
    terminal.sendintr()
    terminal.expect(r"started for run (\S+) and ends now")
    run_id = terminal.match[1]
    # The cancellation was on record first, so that is what it ends as.
    terminal.expect(f"run {run_id} cancelled")
    terminal.wait()
    assert terminal.exitstatus == 130
    assert place.json("runs", "show", run_id)["status"] == "cancelled"


def test_sigterm_interrupts_a_run_with_no_host_behind_it(place):
    process = place.popen("run", "demo.nap")
    assert process.stdout.readline() == "asleep\n"
    process.terminate()
    _, err = process.communicate(timeout=15)
    assert process.returncode == 11, err
    assert "becomes interrupted" in err
    [run] = place.json("runs", "list", "--json")["items"]
    assert run["status"] == "interrupted"


def test_detach_needs_a_host(place):
    done = place.run("run", "--detach", "demo.greet")
    assert done.code == 9
    assert "trunnion up" in done.err


def test_nothing_there_yet(place):
    done = place.run("runs", "list")
    assert (done.code, done.out) == (9, "")
    assert len(done.err.splitlines()) == 1
    assert place.run("follow", "host").code == 9
    assert place.run("doctor").code == 0
    assert "demo\tloaded" in place.run("plugins").out
    assert "demo.greet" in {entry["id"] for entry in place.json("meta", "--json")["commands"]}
    assert "whom to greet" in place.run("run", "demo.greet", "--help").out
    assert not place.data.exists(), "looking makes nothing"


@pytest.mark.parametrize("command", [["up"], ["run", "x.y"], ["config", "check"], ["doctor"]], ids=" ".join)
def test_a_broken_configuration_names_file_key_and_expectation(place, command):
    config = place.root / "broken.toml"
    config.write_text("[executor]\nmax_running = 'many'\n")
    done = place.run("--config", str(config), *command)
    assert done.code == (1 if command == ["doctor"] else 12)
    said = done.out if command == ["doctor"] else done.err
    assert f"{config}:2" in said
    assert "executor.max_running" in said
    assert "integer" in said
    assert "Traceback" not in said


def test_looking_at_the_configuration_changes_none_of_it(place):
    shown = place.json("--set", "store.durability=power", "config", "show", "--json")
    assert {"store.durability": "power"}.items() <= {s["key"]: s["value"] for s in shown["settings"]}.items()
    place.config.write_text(place.config.read_text() + "[store]\ndurability = 'cloud'\n")
    assert "store.durability" in place.run("config", "check").err
    assert place.run("doctor").code == 1


def test_a_missing_configuration_is_one_line(place):
    done = place.run("--config", "nowhere.toml", "run", "demo.greet")
    assert done.code == 12
    assert len(done.err.splitlines()) == 1


def test_what_a_plugin_prints_at_import_is_not_on_standard_output(place):
    plugin = place.root / "plugins" / "demo.py"
    plugin.write_text("print('imported')\n" + plugin.read_text())
    assert "demo" in [record["id"] for record in place.json("plugins", "--json")]
    assert place.run("run", "--json", "demo.greet").out.startswith("{")


def test_draining_tells_how_it_went(place):
    host = place.up()
    done = place.run("run", "host.drain")
    assert done.code == 0, done
    assert host.wait(20) == 0


def test_config_show_says_which_data_directory(place):
    config = place.root / "mine.toml"
    config.write_text(
        "[host]\ndata_dir = 'here'\n[log]\nlevel = 'debug'\n[plugins]\ndir = ['plugins']\nonly = ['demo']\n"
    )
    shown = place.json("--config", str(config), "config", "show", "--json")
    assert shown["data_dir"] == str(place.root / "here")
    assert {"log.level": "debug"}.items() <= {s["key"]: s["value"] for s in shown["settings"]}.items()
    assert place.run("--config", str(config), "run", "demo.greet").code == 0
    assert (place.root / "here" / "db").is_dir()


def test_a_broken_plugin_is_named_and_the_rest_works(place):
    place.config.write_text(CONFIG)
    (place.root / "plugins" / "worse.py").write_text("raise ZeroDivisionError('at import')\n")
    listed = place.run("plugins")
    assert "worse\tbroken" in listed.out
    assert "at import" in listed.out
    assert place.run("run", "demo.greet").code == 0
    asked = place.run("--only", "worse", "run", "demo.greet")
    assert asked.code == 1
    assert "worse" in asked.err
    assert place.run("doctor").code == 1


def test_doctor_finds_a_directory_others_can_look_into(place):
    assert place.run("run", "demo.greet").code == 0
    place.data.chmod(0o755)
    done = place.run("doctor")
    assert done.code == 1
    assert "chmod 700" in done.out


def test_a_plugin_brings_a_subcommand(place):
    place.config.write_text(CONFIG)
    (place.root / "plugins" / "extra.py").write_text(SUBCOMMAND)
    done = place.run("extra", "--name", "Ada")
    assert (done.code, done.out) == (0, "extra Ada\n")


def test_help_and_version_import_no_plugin_and_nothing_heavy(place):
    trap = place.root / "plugins" / "trap.py"
    trap.write_text("import os\nos._exit(99)\n")
    listing = (
        "import sys\nfrom trunnion.launcher.main import run\ncode = run({args!r})\n"
        "heavy = {{'asyncio', 'msgspec', 'wcwidth', 'pluggy', 'sqlite3', 'jsonschema', 'anyio', 'uvloop', 'pathlib',"
        " 'importlib.metadata', 'trunnion.host', 'trunnion.kernel'}}\n"
        "print(sorted(heavy & set(sys.modules)), code, file=sys.stderr)\n"
    )
    for args in (["--help"], ["--version"]):
        words = ["--plugin-dir", str(trap.parent), *args]
        done = subprocess.run(
            [sys.executable, "-c", listing.format(args=words)], check=False, capture_output=True, text=True, timeout=30,
            env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        )  # fmt: skip
        assert done.stderr == "[] 0\n"
        assert done.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user id")
def test_another_user_cannot_use_the_socket(shared):
    code = (
        "import os, socket, sys\nos.setgid(65534); os.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n"
        f"sys.exit(s.connect_ex({str(shared.data / 'run' / 'host.sock')!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=30)
    assert done.returncode == 13
    assert Path(shared.data / "run").stat().st_mode & 0o777 == 0o700
