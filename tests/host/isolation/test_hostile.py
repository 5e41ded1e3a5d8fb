"""Commands with isolate='process': who took over such a process gets neither the host's memory nor its turns."""

from __future__ import annotations

import asyncio

import hostile_kit as kit
import pytest
from kernel_kit import ANN, cmd

from trunnion.access import redaction
from trunnion.access.redaction import Redaction, Redactor
from trunnion.isolation.wire import Text, pack
from trunnion.kernel import isolated_talk
from trunnion.kernel.isolated_talk import MAX_QUESTIONS, MAX_UNANSWERED, Talk
from trunnion.model.commands import Command
from trunnion.model.errors import TrunnionError

pytestmark = pytest.mark.anyio


def apart(handler: object) -> Command:
    return cmd(handler, isolate="process")


async def test_who_asks_and_never_listens_is_heard_no_further(start) -> None:
    """Defence: ``MAX_UNANSWERED``; every question would be a task of the host that waits to be answered."""
    async with start(apart(kit.asks_and_never_listens)) as rig:
        before = len(asyncio.all_tasks())
        run = await rig.ask(command_id="t.asks_and_never_listens", args={"questions": 50_000_000})  # without end
        most = 0
        async with asyncio.timeout(120):
            while most <= MAX_QUESTIONS:
                await asyncio.sleep(0.01)
                most = max(most, len(asyncio.all_tasks()) - before)
        for _ in range(200):
            await asyncio.sleep(0)
            most = max(most, len(asyncio.all_tasks()) - before)
        await rig.door.cancel(ANN, run.id)
        assert (await rig.ended(run)).status == "cancelled"
        assert most < MAX_UNANSWERED + 50


async def test_secrets_of_a_process_are_bounded_by_their_number(start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defences: ``MAX_VALUES``; nothing is heard after one secret too many, which would be shown."""
    monkeypatch.setattr(isolated_talk, "MAX_VALUES", 40)
    async with start(apart(kit.conceals)) as rig:
        some = await rig.run("t.conceals", values=40)
        assert (some.status, some.result) == ("succeeded", redaction.MASK)
        assert await rig.texts(some) == "secret •••\n" * 40
        many = await rig.run("t.conceals", values=41)
        assert await rig.texts(many) == "secret •••\n" * 40
        assert (many.status, many.error.code) == ("failed", "internal")
        assert "more secrets than" in many.error.message


async def test_who_says_nothing_that_can_be_understood_is_ended(start) -> None:
    """Defence: ``MAX_REFUSED``."""
    async with start(apart(kit.babbles)) as rig:
        run = await rig.run("t.babbles")
        assert (run.status, run.error.code) == ("failed", "internal")
        assert "had to be refused" in run.error.message


def test_a_process_is_heard_for_a_moment_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``SLICE``."""
    monkeypatch.setattr(isolated_talk, "SLICE", 0.0)
    heard: list[str] = []

    class Sink:
        full = False

    class Live:
        sink = Sink()

    class Context:
        def write(self, text: str, *, channel: str) -> None:
            heard.append(text)

    async def send(data: bytes) -> None:
        """Nothing is asked."""

    talk = Talk(Live(), Context(), send, 0)  # type: ignore[arg-type]
    talk.hear(b"".join(pack(Text(text, "stdout")) for text in "abc"))
    assert heard == ["a"]
    assert talk.waits
    talk.go_on()
    assert heard == ["a", "b"]
    talk.paced = False
    talk.go_on()
    talk.go_on()
    assert heard == ["a", "b", "c"]


@pytest.mark.parametrize("code", ["\x1b[2J", "a b", "", "c" * 65, "secret-of-the-host"])
async def test_a_code_that_is_none_is_failed(start, code: str) -> None:
    """Defence: ``outcome._is_code``, and that codes are looked through for secrets."""

    class Odd(TrunnionError):
        pass

    async def here() -> None:
        Odd.code = code
        raise Odd("why")

    async with start(apart(kit.fails_as), cmd(here)) as rig:
        rig.kernel.redactor._host.register("secret-of-the-host", owner="test")
        for run in (await rig.run("t.fails_as", code=code), await rig.run("t.here")):
            assert (run.status, run.error.code, run.error.message) == ("failed", "failed", "why")


async def test_names_of_figures_and_words_of_progress_are_bounded(start) -> None:
    """Defences: ``stats.LONGEST_NAME`` and ``Context._shortened``."""
    async with start(apart(kit.counts), apart(kit.advances)) as rig:
        assert (await rig.run("t.counts", size=200)).stats == {"n" * 200: 1}
        run = await rig.run("t.counts", size=201)
        assert (run.result, run.stats) == ("counted", {})
        run = await rig.run("t.advances", size=5_000_000)
        (progress,) = [event for event in await rig.events(run) if event.kind == "progress"]
        assert len(progress.text) < 70_000
        assert len(progress.data["text"]) < 70_000


async def test_names_and_types_of_files_are_bounded(start) -> None:
    """Defences: ``display_name`` looks at so much only, ``_refuse_odd_type``."""
    async with start(apart(kit.keeps_as)) as rig:
        assert (await rig.run("t.keeps_as", media_type="text/plain; charset=utf-8", size=4000)).result == "n" * 200
        for odd in ("text/html\r\nX-Evil: 1", "x" * 128, "text/\x1b[2J", "téxt"):
            run = await rig.run("t.keeps_as", media_type=odd, size=1)
            assert (run.status, run.error.code) == ("failed", "invalid_arguments")
            assert "media type" in run.error.message
            assert "artifact" not in [event.kind for event in await rig.events(run)]


def test_many_secrets_in_a_row_cost_one_building(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defence: ``Redactor.own`` is built when it is needed; 3,000 in a row took the host two minutes."""
    built: list[int] = []

    def matcher(values: frozenset[str]) -> redaction.Matcher:
        built.append(len(values))
        return made(values)

    made = redaction.Matcher
    host = Redaction()
    assert host.matcher
    monkeypatch.setattr(redaction, "Matcher", matcher)
    redactor = Redactor(host, patterns=False, keys=False)
    for number in range(100):
        redactor = redactor.with_own([f"secret{number:05}"])
    assert redactor.values_only.text("it is secret00042 and secret00099!") == "it is ••• and •••!"
    assert built == [100]
