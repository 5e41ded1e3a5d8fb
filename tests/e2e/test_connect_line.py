"""What ``--connect`` costs whoever does not use it, completion by the system's shell, and lines that are lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from far_kit import PLUGIN, settle, with_door

from trunnion.launcher.options import Options

# -- nothing for nothing -----------------------------------------------------------------------------------------------

PROBE = """
import atexit, sys
sys.argv[0] = "trunnion"
atexit.register(lambda: sys.stderr.write("\\n".join(("modules:", *sorted(sys.modules)))))
from trunnion.launcher.main import main
main()
"""


def modules(far, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words],
        check=False, capture_output=True, text=True, env=far.env, cwd=far.root, timeout=20,
    )  # fmt: skip
    return set(done.stderr.partition("modules:\n")[2].splitlines())


FOREIGN = ("grpc", "google.protobuf", "trunnion_rpc", "trunnion.protocol.connecting", "trunnion.launcher.destination")


@pytest.mark.parametrize("words", ["run demo.greet", "query demo.count", "follow --no-live host"])
def test_without_it_nothing_of_grpc_is_imported(far, words: str) -> None:
    assert not modules(far, *words.split()) & set(FOREIGN)
    imported = modules(far, "--connect", far.url, *words.split())
    assert imported >= set(FOREIGN)
    assert not {name for name in imported if name.startswith(("trunnion.kernel", "trunnion.store", "trunnion.host."))}


# -- completion of the system's shell ----------------------------------------------------------------------------------


def test_names_and_arguments_are_completed(far) -> None:
    def completed(*words: str) -> list[str]:
        given = {"_TRUNNION_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("trunnion", *words))}
        return far.run(env={**given, "COMP_CWORD": str(len(words))}).out.splitlines()

    for words in (["run", "demo.gr"], ["run", "demo.greet", "--to"], ["run", "demo.move", "b"], ["query", "far."]):
        assert completed("--connect", far.url, *words) == completed(*words) != []
    assert completed("--connect", "grpc://127.0.0.1:1", "run", "demo.gr") in ([], [""])


def test_every_option_by_which_a_host_is_reached_is_passed_on() -> None:
    """Another terminal is told how to find the same host, in words that may have blanks."""
    options = Options(connect="unix:/a b/rpc.sock", token_file="t", ca="c", cert="d", key="e")
    assert options.to_reach == "--connect 'unix:/a b/rpc.sock' --token-file t --ca c --cert d --key e "


# -- a line that is lost -----------------------------------------------------------------------------------------------


@pytest.fixture
def machine(place):
    """A host that the test ends and starts."""
    config = with_door(place.config.read_text()).replace('"demo"]', '"demo", "far"]')
    place.config.write_text(config.replace("[executor]", "[executor]\nshutdown_grace = 0.3"))
    (place.root / "plugins" / "far.py").write_text(PLUGIN)

    def start():
        place.host = place.up()
        return settle(place)

    place.start = start
    return start()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_stream_goes_on_at_the_next_host(machine, how: signal.Signals) -> None:
    here = ["--connect", machine.url]
    run = machine.run(*here, "run", "--detach", "far.count", "--until", str(machine.root / "never")).out.strip()
    follower = machine.popen(*here, "follow", "--json", f"run/{run}")
    first = [follower.stdout.readline() for _ in range(5)]
    machine.host.send_signal(how)
    machine.host.wait(20)
    machine.start()
    out = follower.stdout.read()
    assert follower.wait(30) == 0, follower.stderr.read()
    assert "".join(first) + out == machine.run("follow", "--json", f"run/{run}").out
    assert json.loads(out.splitlines()[-1])["data"]["status"] == "interrupted"


def test_kill_9_during_a_run_with_a_key_has_one_effect(machine) -> None:
    """The launcher goes on with the next host; asked once more with the same key, nothing happens again."""
    file = machine.root / "effects"
    words = [
        "--connect",
        machine.url,
        "run",
        "--key",
        "once",
        "far.effect",
        str(file),
        "--until",
        str(machine.root / "go"),
    ]
    first = machine.popen(*words)
    assert first.stdout.readline() == "done\n"
    machine.host.kill()
    machine.host.wait()
    machine.start()
    _, err = first.communicate(timeout=30)
    assert (first.returncode, "interrupted" in err) == (11, True), err
    again = machine.run(*words)
    assert (again.code, "interrupted" in again.err) == (11, True)
    assert file.read_text() == "done\n"
    assert len(machine.json("runs", "list", "--json")["items"]) == 1


def test_a_host_that_does_not_come_back_is_told_with_the_way_back(machine) -> None:
    running = machine.popen("--connect", machine.url, "run", "demo.nap")
    assert running.stdout.readline() == "asleep\n"
    machine.host.kill()
    machine.host.wait()
    running.send_signal(signal.SIGINT)
    assert "Ctrl-C again to leave it to itself" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    err = running.stderr.read()
    assert f"come back with: trunnion --connect {machine.url} follow run/" in err
    assert running.wait(20) != 0
