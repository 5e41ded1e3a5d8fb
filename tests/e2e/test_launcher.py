"""The launcher against a running host in another process."""

from __future__ import annotations

import json
import random
import re
import shlex
import signal
import subprocess
import sys

import pexpect
import pytest

from trunnion.launcher.tallied import tally


def errors(done) -> dict:
    """The one JSON object on standard error."""
    [line] = done.err.splitlines()
    return json.loads(line)


def test_run_shows_output_result_and_how_it_ended(shared):
    done = shared.run("run", "demo.greet", "Ada", "--loud")
    assert done.code == 0
    assert done.out == "looking for Ada\nHELLO ADA\n"
    assert re.fullmatch(r"run \S+ succeeded after \S+ s\n", done.err)


def test_everything_a_run_can_say_goes_to_the_right_stream(shared):
    done = shared.run("run", "demo.show")
    assert done.out == 'to stdout\nname\tn\na\t1\nb\t2\n{"x":1}\n'
    err = done.err.splitlines()
    assert err[0].startswith("progress: copying")
    assert "progress: copying 100 %" in err
    assert err[-4:-1] == ["to stderr", "warning: careful", 'result: {"bytes":11}']


def test_a_result_alone_is_on_standard_output(shared):
    assert json.loads(shared.run("run", "runs.cancel", shared.run("run", "--detach", "demo.greet").out.strip()).out)


def test_meta_lists_what_there_is_for_a_person(shared):
    listed = shared.run("meta").out
    assert "run    demo.greet [NAME]" in listed
    assert "query  runs.get RUN_ID" in listed
    assert "follow host" in listed


def test_json_is_all_there_is_on_standard_output(shared):
    run = shared.json("run", "--json", "demo.show")
    assert (run["status"], run["result"], run["source"]) == ("succeeded", {"bytes": 11}, "cli")
    failed = shared.run("run", "--json", "demo.fail", "1")
    assert json.loads(failed.out)["status"] == "failed"
    assert errors(failed)["message"] == "no space on the tape"
    assert failed.code == 1


@pytest.mark.parametrize(
    "args",
    [
        ["query", "--json", "runs.list"], ["runs", "list", "--json"], ["plugins", "--json"],
        ["meta", "--json"], ["config", "show", "--json"], ["config", "check", "--json"], ["doctor", "--json"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_json_everywhere(shared, args):
    assert shared.json(*args)


def test_errors_are_json_when_json_is_asked_for(shared):
    unknown = shared.run("run", "--json", "demo.gret")
    assert unknown.out == ""
    assert (unknown.code, errors(unknown)["code"]) == (5, "not_found")
    usage = shared.run("runs", "--json", "bogus")
    assert (usage.code, usage.out, errors(usage)["code"]) == (2, "", "invalid_arguments")


def test_an_unknown_command_names_the_nearest(shared):
    done = shared.run("run", "demo.gret")
    assert (done.code, done.out) == (5, "")
    assert "demo.greet" in done.err
    done = shared.run("rnu", "x")
    assert done.code == 2
    assert "did you mean run" in done.err


def test_without_a_subcommand_there_is_help(shared):
    for args in ([], ["runs"]):
        done = shared.run(*args)
        assert done.code == 2
        assert "Commands:" in done.err
        assert "error" not in done.err


def test_bad_arguments_say_which_and_what_was_expected(shared):
    done = shared.run("run", "demo.fail", "soon")
    assert done.code == 2
    assert "code" in done.err
    assert "whole number" in done.err
    assert shared.run("run", "demo.greet", "--bogus").code == 2


def test_failures_have_their_own_exit_status(shared):
    assert shared.run("run", "demo.fail", "1").code == 1
    assert shared.run("run", "demo.late").code == 10
    defect = shared.run("run", "demo.fail")
    assert defect.code != 0
    assert "Traceback" not in defect.err


def test_everything_after_the_command_is_the_commands(shared):
    done = shared.run("run", "demo.greet", "--", "--loud")
    assert done.out.splitlines()[-1] == "hello --loud"
    help_text = shared.run("run", "demo.greet", "--help")
    assert help_text.code == 0
    assert "whom to greet" in help_text.out
    assert "--loud" in help_text.out
    assert "demo.greet Ada --loud" in help_text.out
    assert "Args:" not in help_text.out, "the arguments are explained once"
    assert "--detach" in shared.run("run", "--help").out
    assert shared.run("run", "demo.no", "--help").code == 5


def test_detach_prints_the_id_and_follow_comes_back(shared):
    done = shared.run("run", "--detach", "--label", "team=red", "demo.greet", "Bo")
    run_id = done.out.strip()
    assert f"trunnion follow run/{run_id}" in done.err
    followed = shared.run("follow", f"run/{run_id}")
    assert followed.code == 0
    assert "looking for Bo\n" in followed.out
    assert followed.out.endswith("hello Bo\n")
    assert shared.json("runs", "show", run_id, "--json")["labels"] == {"team": "red"}
    lines = shared.run("follow", "--json", f"run/{run_id}").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_the_same_key_is_the_same_run(shared):
    first = shared.json("run", "--json", "--key", "k1", "demo.greet")
    again = shared.json("run", "--json", "--key", "k1", "demo.greet")
    assert first["id"] == again["id"]
    assert shared.run("run", "--key", "k1", "demo.greet", "other").code == 6


def test_runs_are_listed_shown_repeated_and_exported(shared):
    run = shared.json("run", "--json", "demo.greet", "Cy")
    listed = shared.run("runs", "list", "--command", "demo.greet", "--limit", "5").out
    assert run["id"] in listed
    assert shared.run("runs", "result", run["id"]).out == "hello Cy\n"
    assert "looking for Cy" in shared.run("runs", "events", run["id"]).out
    assert shared.run("runs", "export", run["id"], "--format", "text").out == "looking for Cy\n"
    again = shared.json("runs", "rerun", run["id"], "--json")["result"]
    assert again["command_id"] == "demo.greet"
    assert shared.run("runs", "show", "no-such-run").code == 5
    assert "--status" in shared.run("runs", "list", "--help").out


def test_cancel_from_elsewhere(shared):
    run_id = shared.run("run", "--detach", "demo.nap").out.strip()
    assert shared.run("runs", "cancel", run_id).code == 0
    ended = shared.run("follow", f"run/{run_id}")
    assert ended.code == 130
    assert "cancelled" in ended.err


def test_queries_and_meta(shared):
    assert shared.json("query", "demo.count", "--n", "3") == {"n": 3}
    assert "demo.greet" in {entry["id"] for entry in shared.json("meta", "--json")["commands"]}
    assert "demo\tloaded" in shared.run("plugins").out
    assert shared.run("query", "demo.cuont").code == 5


def test_what_only_a_start_can_use_is_refused_by_name(shared):
    every = ["--set", "log.level=debug", "--only", "demo", "--without", "x", "--plugin-dir", ".", "--safe-mode"]
    for command in (["run", "demo.greet"], ["query", "runs.list"], ["follow", "host"]):
        done = shared.run(*every, *command)
        assert done.code == 6, (command, done)
        assert "--only, --without, --plugin-dir, --set, --safe-mode have no effect" in done.err


def test_a_second_host_on_the_directory_names_the_first(shared):
    done = shared.run("up")
    assert done.code == 6
    assert str(shared.host.pid) in done.err
    assert len(done.err.splitlines()) == 1


def test_doctor_finds_nothing_and_names_the_host(shared):
    done = shared.run("doctor")
    assert done.code == 0, done.out
    assert f"process {shared.host.pid} answers" in done.out
    assert re.search(r"^ok +programs: \d+ alive, 0 orphans, 0 zombies$", done.out, re.MULTILINE), done.out


def test_doctor_names_what_should_not_be_there():
    found = {"alive": [{"pid": 7}], "orphans": [12, 13], "zombies": []}
    assert tally(found) == (False, "1 alive, 2 orphans (12, 13), 0 zombies")


def test_completion_offers_names_and_arguments_of_the_running_host(shared):
    def offered(*words: str) -> set[str]:
        env = {
            "_TRUNNION_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["trunnion", *words]),
            "COMP_CWORD": str(len(words)),
        }
        done = shared.run(env=env)
        return {entry.partition(",")[2] for entry in done.out.split()}

    assert "demo.greet" in offered("run", "demo.")
    assert "--loud" in offered("run", "demo.greet", "--l")
    assert offered("run", "demo.greet", "--tone", "k") == {"kind"}
    assert "demo.count" in offered("query", "demo.")
    assert "--limit" in offered("query", "runs.list", "--li")
    assert "run" in offered("ru")
    assert "--detach" in offered("run", "--det")


def test_completion_says_what_each_word_means(shared):
    """One line each, whatever was written: three lines are one proposal for zsh."""

    def offered(*words: str) -> list[list[str]]:
        env = {
            "_TRUNNION_COMPLETE": "zsh_complete",
            "COMP_WORDS": " ".join(["trunnion", *words]),
            "COMP_CWORD": str(len(words)),
        }
        lines = shared.run(env=env).out.strip().splitlines()
        return [lines[at : at + 3] for at in range(0, len(lines), 3)]

    assert offered("run", "demo.gre") == [["plain", "demo.greet", "Greet somebody"]]
    assert offered("run", "demo.greet", "--to") == [["plain", "--tone", "how it is said: warmly, or as to a stranger."]]
    assert offered("run", "demo.move", "b") == [["plain", "bug", "A beetle"]]
    assert offered("run", "demo.move", "v") == []
    assert [item[0] for item in offered("run", "demo.move", "bug", "/et")] == ["file"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shared, shell):
    assert "_TRUNNION_COMPLETE" in shared.run("completion", shell).out


# -- on a terminal --------------------------------------------------------------------------------


def test_ctrl_c_cancels_and_waits_for_the_end(shared):
    terminal = shared.spawn("run", "demo.nap")
    terminal.expect("asleep")
    terminal.sendintr()
    terminal.expect(r"cancelling run (\S+);")
    run_id = terminal.match[1]
    terminal.expect(rf"run {run_id} cancelled")
    terminal.expect("\r\n")
    terminal.wait()
    assert terminal.exitstatus == 130
    assert shared.json("runs", "show", run_id)["status"] == "cancelled"
    assert shared.host.poll() is None, "the host is not the one that is interrupted"


def test_a_second_ctrl_c_leaves_the_run_and_says_how_to_come_back(shared):
    terminal = shared.spawn("run", "demo.stubborn")
    terminal.expect("asleep")
    terminal.sendintr()
    terminal.expect("one moment")
    terminal.sendintr()
    terminal.expect(r"trunnion follow run/(\S+)")
    terminal.wait()
    assert terminal.exitstatus == 130


def test_ctrl_c_at_any_moment_ends_the_program_and_never_the_host(shared):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(4):
        process = shared.popen("run", "demo.nap", measured=False)
        try:
            process.wait(timeout=chance.uniform(0.05, 0.35))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=15)
        # Before the program has taken over its signals it dies of them, as any program does; within the first
        # moments the interpreter itself, still starting, turns them into a fatal error of its own.
        assert process.returncode in (130, -signal.SIGINT) or err.startswith("Fatal Python error: init_"), err
        assert shared.host.poll() is None
    assert not shared.json("runs", "list", "--status", "running", "--command", "demo.nap", "--json")["items"]


def test_ctrl_c_while_following_only_stops_following(shared):
    run_id = shared.run("run", "--detach", "demo.nap").out.strip()
    terminal = shared.spawn("follow", f"run/{run_id}")
    terminal.expect("asleep")
    terminal.sendintr()
    terminal.expect("goes on")
    terminal.wait()
    assert terminal.exitstatus == 130
    assert shared.json("runs", "show", run_id)["status"] == "running"
    shared.run("runs", "cancel", run_id)


def test_progress_is_drawn_and_a_table_has_columns(shared):
    terminal = shared.spawn("run", "demo.show")
    terminal.expect("copying.*%")
    terminal.expect("to stdout")
    terminal.expect("a     1\r\nb     2")
    terminal.expect("succeeded")
    terminal.wait()
    assert terminal.exitstatus == 0


def test_escape_sequences_of_a_run_do_not_reach_the_terminal(shared):
    terminal = shared.spawn("run", "demo.nasty")
    terminal.expect("succeeded")
    assert "\\x1b]0;owned\\x07\\x1b[2J\x1b[31mred" in terminal.before
    assert "\x1b]0;" not in terminal.before
    piped = shared.run("run", "demo.nasty")
    assert "\x1b]0;owned\x07" in piped.out


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_defect(shared, closed):
    call = shlex.join([sys.executable, "-c", "from trunnion.launcher.main import main; main()", "run", "demo.greet"])
    done = subprocess.run(
        ["sh", "-c", f"{call} {closed}"], env=shared.env, cwd=shared.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done
    assert "Traceback" not in done.stderr


def test_the_way_back_names_the_same_host(shared):
    done = shared.run("--config", str(shared.config), "run", "--detach", "demo.greet")
    assert f"trunnion --config {shared.config} follow run/{done.out.strip()}" in done.err


def test_a_secret_given_again_to_repeat_a_run_is_kept_nowhere(shared):
    first = json.loads(shared.run("run", "--json", "demo.unlock", "--code", "very-secret-1").out)["id"]
    assert shared.run("runs", "rerun", first, "--args", "code=very-secret-2").code == 0
    assert "very-secret" not in shared.run("runs", "list", "--json").out
    kept = b"".join(path.read_bytes() for path in (shared.data / "db").glob("trunnion.sqlite*"))
    assert b"very-secret" not in kept


@pytest.mark.parametrize("option", ["--config", "--data-dir"])
def test_an_empty_path_is_refused_and_never_another_place(shared, option):
    done = shared.run(option, "", "runs", "list")
    assert done.code == 2
    assert option in done.err


def test_the_other_kind_is_named(shared):
    assert "'runs.list': it is a query" in shared.run("run", "runs.list").err
    assert "'demo.greet': it is a command" in shared.run("query", "demo.greet").err


def test_json_after_the_name_is_explained(shared):
    assert "trunnion run --json demo.greet" in shared.run("run", "demo.greet", "--json").err
    assert "trunnion query --json host.status" in shared.run("query", "host.status", "--json").err


def test_a_failed_run_has_no_result_and_its_own_status(shared):
    run_id = json.loads(shared.run("run", "--json", "demo.fail", "3").out)["id"]
    done = shared.run("runs", "result", run_id)
    assert (done.code, done.out) == (1, "")
    assert "failed" in done.err
    assert shared.run("runs", "result", run_id, "--json").code == 1


def test_a_secret_comes_without_the_command_line(shared, tmp_path):
    file = tmp_path / "secret"
    file.write_text("from-a-file\n")
    assert shared.json("run", "--json", "--secret", f"code=file:{file}", "demo.unlock")["result"] == len("from-a-file")
    given = shared.run("run", "--json", "--secret", "code=env:DOOR", "demo.unlock", env={"DOOR": "from-the-env"})
    assert json.loads(given.out)["result"] == len("from-the-env")
    assert "no environment variable NONE" in shared.run("run", "--secret", "code=env:NONE", "demo.unlock").err
    refused = shared.run("run", "--secret", "code=plain-text", "demo.unlock")
    assert (refused.code, "plain-text" in refused.err) == (2, False)


def test_a_missing_secret_is_asked_for_on_a_terminal(shared):
    terminal = shared.spawn("run", "demo.unlock")
    terminal.expect("code: ")
    assert not terminal.getecho()
    terminal.sendline("tell-nobody")
    terminal.expect("succeeded")
    terminal.expect(pexpect.EOF)
    assert "tell-nobody" not in terminal.before
    assert str(len("tell-nobody")) in json.dumps(shared.json("runs", "list", "--json", "--limit", "1"))


def test_without_a_terminal_nobody_is_asked(shared):
    refused = shared.run("run", "demo.unlock")
    assert (refused.code, refused.err.startswith("error: code:")) == (2, True)
