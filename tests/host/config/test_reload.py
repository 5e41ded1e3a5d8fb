"""The configuration is read again: all of it is judged, then all of it is in force, or nothing is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reload_kit import reloadable, until

from trunnion import InvalidConfig, retention
from trunnion.access.redaction import Redactor
from trunnion.config.changes import taken_up
from trunnion.config.host_settings import HOST_SETTINGS
from trunnion.kernel.registry import Contributed
from trunnion.model.commands import Command

# -- what is taken up -----------------------------------------------------------------------------


async def test_live_settings_are_in_force_at_once_and_the_others_wait(tmp_path: Path) -> None:
    async with reloadable(tmp_path, "[executor]\nmax_pending = 5\n") as on:
        text = '[executor]\nmax_pending = 6\ndefault_lock = "one"\n[log]\nlevel = "debug"\n'
        assert await on.reload(text) == {
            "changed": ["executor.default_lock", "executor.max_pending", "log.level"],
            "live": ["executor.max_pending", "log.level"],
            "restart": ["executor.default_lock"],
        }
        assert on.kernel.limits.max_pending == on.kernel.executor.limits.max_pending == 6
        assert on.host.config.get("executor.default_lock") == "{command_id}"
        status = (await on.query("host.status"))["config"]
        assert (status["generation"], status["pending_restart"]) == (2, ["executor.default_lock"])
        shown = {entry["key"]: entry for entry in (await on.query("host.config"))["items"]}
        assert shown["executor.default_lock"]["value"] == "{command_id}"
        assert shown["executor.default_lock"]["pending_value"] == "one"
        assert [key for key, entry in shown.items() if entry["pending"]] == ["executor.default_lock"]


async def test_what_is_changed_back_waits_no_more(tmp_path: Path) -> None:
    async with reloadable(tmp_path) as on:
        await on.reload('[store]\ndurability = "power"\n')
        assert (await on.reload("# nothing\n"))["changed"] == ["store.durability"]
        assert (await on.query("host.status"))["config"]["pending_restart"] == []
        assert await on.reload() == {"changed": [], "live": [], "restart": []}


async def test_a_secret_is_told_by_name_only(tmp_path: Path) -> None:
    """Defence: changes are names; what is pending is masked."""
    tmp_path.chmod(0o700)
    async with reloadable(tmp_path, '[words]\nkey = "first-of-all"\n') as on:
        on.file.chmod(0o600)
        answer = await on.reload('[words]\nkey = "hunter2-and-more"\n')
        assert answer["restart"] == ["words.key"]
        (told,) = await on.told("config.reloaded")
        shown = await on.query("host.config")
        (entry,) = [entry for entry in shown["items"] if entry["key"] == "words.key"]
        assert (entry["value"], entry["pending_value"]) == ("***", "***")
        for everything in (told, shown, answer):
            assert "hunter2" not in str(everything)
            assert "first-of-all" not in str(everything)


async def test_an_embedded_host_without_a_file_reads_its_environment_again(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    async with reloadable(tmp_path, file=False, environ=environ) as on:
        environ["TRUNNION__EXECUTOR__MAX_PENDING"] = "77"
        assert (await on.host.reload())["live"] == ["executor.max_pending"]
        assert on.kernel.limits.max_pending == 77


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "line", "told"),
    [
        ("[executor]\nmax_runing = 3\n", "executor.max_runing", 2, "did you mean 'max_running'"),
        ("[executr]\nmax_running = 3\n", "executr", 1, "did you mean 'executor'"),
        ("\n[executor]\nmax_running = 'many'\n", "executor.max_running", 3, "is not of type"),
        ("[words]\nwords = ['darn']\n", "words.words.0", 2, "is not said here"),
        ("[frontends]\nsockett = true\n", "frontends.sockett", 2, "did you mean 'socket'"),
        ("[access.principals.ann]\nrol = 'admin'\n", "access.principals.ann.rol", 2, "did you mean 'role'"),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)
async def test_a_mistake_leaves_everything_as_it_was_and_is_named(
    tmp_path: Path, text: str, key: str, line: int, told: str
) -> None:
    """Defence: nothing is swapped before everything was judged."""
    async with reloadable(tmp_path, "[log]\nlevel = 'warning'\n[words]\nwords = ['one']\n") as on:
        before = on.host.config
        with pytest.raises(InvalidConfig) as caught:
            await on.reload(f"{text}\n[log]\nlevel = 'debug'\n")
        (problem,) = [p for p in caught.value.details["problems"] if p["key"] == key]
        assert problem["where"] == f"{on.file}:{line}"
        assert told in problem["message"]
        assert on.host.config is before
        (event,) = await on.told("config.refused")
        assert caught.value.message in event["text"]
        assert event["level"] == "error"


async def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    async with reloadable(tmp_path) as on:
        with pytest.raises(InvalidConfig) as caught:
            await on.reload("[executor]\nmax_runing = 3\n[log]\nlevel = 'loud'\n[nope]\n")
        assert [p["key"] for p in caught.value.details["problems"]] == ["nope", "executor.max_runing", "log.level"]


async def test_a_hook_that_fails_with_the_new_settings_keeps_the_plugin_as_it_was(tmp_path: Path) -> None:
    async with reloadable(tmp_path, "[words]\nwords = ['one']\n") as on:
        on.words.failing = ValueError("no such dictionary")
        with pytest.raises(InvalidConfig, match="no such dictionary"):
            await on.reload("[words]\nwords = ['two']\n[executor]\nmax_pending = 3\n")
        assert on.commands() == {"words.one"}
        assert on.kernel.limits.max_pending != 3
        assert [record.state for record in on.kernel.records()] == ["loaded"]
        on.words.failing = None
        await on.reload()
        assert on.commands() == {"words.two"}


async def test_names_that_clash_are_refused_with_both_owners(tmp_path: Path) -> None:
    async with reloadable(tmp_path, "[words]\nwords = ['one']\n") as on:
        on.kernel.registry.replace("other", Contributed(commands=[Command(id="words.two", handler=lambda: None)]))
        with pytest.raises(InvalidConfig, match=r"words wants the name 'words.two', which other already has"):
            await on.reload("[words]\nwords = ['two']\n")
        assert on.kernel.registry.command("words.one") is not None


# -- plugins --------------------------------------------------------------------------------------


async def test_a_plugin_registers_anew_and_what_it_runs_goes_on(tmp_path: Path) -> None:
    async with reloadable(tmp_path, "[words]\nwords = ['one']\n") as on:
        await until(lambda: on.words.handle is not None)
        generation = on.kernel.registry.generation
        await on.reload("[words]\nwords = ['one', 'two']\nsize = 5\n")
        assert on.commands() == {"words.one", "words.two"}
        assert on.kernel.registry.generation == generation + 1
        in_force = {"words": ["one", "two"], "size": 1, "key": None}
        assert on.words.followed == [in_force]
        assert on.words.handle.settings == in_force
        assert (on.words.daemons, on.words.asked, on.words.opened) == (1, 2, 1)
        await on.reload("[words]\nwords = ['one', 'two']\nsize = 6\n[executor]\nmax_pending = 9\n")
        assert (on.words.asked, len(on.words.followed)) == (2, 1)


async def test_a_part_that_cannot_follow_is_named_and_holds_nobody_up(tmp_path: Path) -> None:
    async with reloadable(tmp_path) as on:
        await until(lambda: on.words.handle is not None)
        on.words.raising = True
        await on.reload("[words]\nwords = ['one']\n")
        assert on.commands() == {"words.one"}
        (event,) = await on.told("config.follow.failed")
        assert "words" in event["text"]


async def test_running_runs_go_on_and_waiting_ones_park_when_their_command_is_gone(tmp_path: Path) -> None:
    async with reloadable(tmp_path, "[words]\nwords = ['one']\n") as on:
        running, waiting = await on.submit("words.one"), await on.submit("words.one")
        await on.reload("[words]\nwords = []\n")
        on.words.let_go.set()
        assert (await on.wait(running)).result == "words.one"
        await until(lambda: waiting.id in on.kernel.executor.placement.parked)
        await on.reload("[words]\nwords = ['one']\n")
        assert (await on.wait(waiting)).status == "succeeded"


# -- what goes by settings ------------------------------------------------------------------------


async def test_more_slots_start_those_who_wait_and_fewer_stop_nobody(tmp_path: Path) -> None:
    """Defence: ``Placement.resize`` pumps."""
    text = "[words]\nwords = ['a', 'b', 'c', 'd']\n[executor]\nmax_running = {}\n"
    async with reloadable(tmp_path, text.format(1)) as on:
        runs = [await on.submit(f"words.{word}") for word in "abc"]
        slots = on.kernel.executor.placement.slots
        assert (slots.used, slots.waiting) == (1, 2)
        on.write(text.format(3))
        await on.host.reload()
        assert (slots.used, slots.waiting) == (3, 0)
        on.write(text.format(1))
        await on.host.reload()
        late = await on.submit("words.d")
        assert (slots.used, slots.waiting) == (3, 1)
        on.words.let_go.set()
        assert {(await on.wait(run)).status for run in [*runs, late]} == {"succeeded"}
        assert slots.used == 0


async def test_each_part_goes_by_its_section(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    async with reloadable(tmp_path) as on:
        await on.reload(
            "[state]\nmax_documents = 7\n[bytes]\nmax_uploads = 6\n[redaction]\nkeys = ['*pin']\n"
            "[log]\nlevel = 'error'\n[access.principals.ann]\nrole = 'operator'\n"
            "[executor]\npark_timeout = 9\nthreads = 3\n"
        )
        assert on.kernel.documents.limits.max_documents == 7
        assert on.kernel.files.limits.max_uploads == 6
        assert Redactor(on.kernel.redaction).value({"door_pin": "1234"}) != {"door_pin": "1234"}
        assert "ann" in on.kernel.identities.register.configured.principals
        assert on.kernel.executor.placement.slots.threads == 3
        on.kernel.host_log.log("somebody", "warning", "not written")
        assert "not written" not in on.host.data.host_log.read_text()


async def test_what_is_said_to_be_live_is_gone_by(tmp_path: Path) -> None:
    async with reloadable(tmp_path) as on:
        live = {name for name, each in HOST_SETTINGS.items() if any(s.reload == "live" for s in each)}
        asked_each_time = {"store"}
        assert live - asked_each_time == on.host._settings.consumed


async def test_old_runs_are_removed_by_the_limits_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``keep_trimmed`` asks for the settings each time, also after there were none."""
    monkeypatch.setattr(retention, "RETENTION_INTERVAL", 0.01)
    text = "[words]\nwords = ['a']\n[store]\nretention_days = 0\nretention_runs = {}\n"
    async with reloadable(tmp_path, text.format(0)) as on:
        on.words.let_go.set()
        for _ in range(5):
            await on.wait(await on.submit("words.a"))
        await on.reload(text.format(2))
        caller, door = on.host.local_caller(), on.host.door("cli")
        async with asyncio.timeout(10):
            while len((await door.query(caller, "runs.list"))["items"]) > 2:
                await asyncio.sleep(0.01)


# -- one after the other --------------------------------------------------------------------------


async def test_reloads_wait_for_each_other_and_many_wishes_are_few(tmp_path: Path) -> None:
    """Defence: the lock, and one task for all wishes."""
    async with reloadable(tmp_path) as on:
        on.write("[executor]\nmax_pending = 3\n")
        answers = await asyncio.gather(*[on.host.reload() for _ in range(10)])
        assert [bool(answer["live"]) for answer in answers] == [True] + [False] * 9
        for _ in range(100):
            on.host.request_reload()
        on.write("[executor]\nmax_pending = 4\n")
        on.host.request_reload()
        await until(lambda: on.kernel.limits.max_pending == 4)
        assert len(await on.told("config.reloaded")) <= 13


async def test_an_earlier_reload_never_wins_over_a_later_one(tmp_path: Path) -> None:
    """Defence: the lock. Without it the second reload overtakes the first, which then puts back what it had read."""
    async with reloadable(tmp_path) as on:
        on.words.pausing = True
        on.write("[words]\nwords = ['two']\n")
        first = asyncio.create_task(on.host.reload())
        await until(on.words.entered.is_set)
        on.write("[words]\nwords = ['three']\n")
        second = asyncio.create_task(on.host.reload())
        overtaken, _ = await asyncio.wait({second}, timeout=0.3)
        on.words.pause.set()
        await asyncio.gather(first, second)
        assert not overtaken
        assert on.commands() == {"words.three"}


async def test_a_part_that_crashed_is_told_nothing_any_more(tmp_path: Path) -> None:
    """Defence: ``let_go`` when a part ends."""
    async with reloadable(tmp_path) as on:
        await until(lambda: on.words.daemons == 1)
        on.words.crash.set()
        await until(lambda: on.words.daemons == 2)
        await on.reload("[words]\nwords = ['one']\n")
        assert len(on.words.followed) == 1


async def test_the_host_stops_while_it_reloads(tmp_path: Path) -> None:
    async with reloadable(tmp_path) as on:
        on.host.request_reload()


# -- any sequence of files ------------------------------------------------------------------------

GOOD = st.fixed_dictionaries(
    {},
    optional={
        "executor.max_pending": st.integers(1, 9),
        "executor.default_lock": st.sampled_from(["'one'", "'two'"]),
        "store.retention_days": st.integers(0, 9),
        "words.words": st.lists(st.sampled_from(["one", "two", "three"]), unique=True),
        "words.size": st.integers(1, 3),
    },
).map(lambda chosen: "# a file\n" + "".join(f"{key} = {value}\n" for key, value in chosen.items()))
BAD = st.sampled_from(
    ["[executor", "", "executor.max_pendig = 3\n", "log.level = 3\n", "words.words = ['darn']\n", "nope.x = 1\n"]
)


@given(files=st.lists(GOOD | BAD, max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_files_leads_where_the_last_good_one_does(
    tmp_path_factory: pytest.TempPathFactory, files: list[str]
) -> None:
    async def main() -> None:
        async with reloadable(tmp_path_factory.mktemp("host"), "# a file\n") as on:
            last = "# a file\n"
            for text in files:
                on.write(text)
                try:
                    await on.host.reload()
                    last = text
                except InvalidConfig:
                    pass
            on.write(last)
            at_start = on.host._setup.config
            reference, _ = taken_up(at_start, on.host._setup.read_again())
            assert on.host.config.values == reference.values
            assert on.host.config.pending == reference.pending
            assert on.commands() == {f"words.{word}" for word in reference.values["words"]["words"]}
            assert on.kernel.limits.max_pending == reference.values["executor"]["max_pending"]

    asyncio.run(main())
