"""Events as text: what stays, on which of the two streams, in which colour, and what is drawn for a while."""

from __future__ import annotations

import re
import time

import msgspec
import pytest

from trunnion.model.events import Event, gap_event
from trunnion.model.runs import ArtifactInfo
from trunnion.rendering import DARK, PLAIN, EventRenderer, Live, Palette, Rendered

LOOKS = Palette({"error": "31", "warning": "33", "info": "36", "debug": "90", "host": "35", "state": "34"})
ARTIFACT = ArtifactInfo("a1", "r1", "report.csv", 3 << 20, "0" * 64, "text/csv", 1)


def event(kind: str, text: str = "", data: object = None, level: str = "info", by: str = "handler") -> Event:
    return Event("run/r1", 1, 1, kind, level, by, text, msgspec.Raw(msgspec.json.encode(data)))


def renderer(palette: Palette = PLAIN, **more: object) -> EventRenderer:
    return EventRenderer(palette, lambda: 60, **more)


def render(one: Event, palette: Palette = PLAIN, **more: object) -> Rendered:
    return renderer(palette, **more).render(one)


def painted(look: str, text: str) -> str:
    return f"\x1b[{look}m{text}\x1b[0m"


def test_output_goes_where_it_came_from():
    assert render(event("text", "one\ntwo\n", {"channel": "stdout"})) == ("one\ntwo\n", False, None)
    assert render(event("text", "oops\n", {"channel": "stderr"}, "warning"), LOOKS) == ("oops\n", True, None)


def test_lines_with_a_level_have_its_colour():
    """But what was said on standard error is not a warning for that alone."""
    made = render(event("text", "bad\nworse\n", {"channel": "stdout"}, "error"), LOOKS)
    assert made.text == painted("31", "bad") + "\n" + painted("31", "worse") + "\n"
    assert render(event("text", "hm\n", {"channel": "device"}, "warning"), LOOKS).text == painted("33", "hm") + "\n"


@pytest.mark.parametrize(
    ("level", "by", "shown"),
    [
        ("info", "handler", painted("36", "info:") + " all well\n"),
        ("warning", "handler", painted("33", "warning:") + " " + painted("33", "all well") + "\n"),
        ("error", "driver", painted("31", "error:") + " " + painted("31", "all well") + "\n"),
        ("info", "host", painted("36", "info:") + " " + painted("35", "all well") + "\n"),
        ("error", "host", painted("31", "error:") + " " + painted("35", "all well") + "\n"),
        ("notice", "driver", "notice: all well\n"),
    ],
)
def test_log_lines_show_their_level_and_whether_the_host_speaks(level, by, shown):
    assert render(event("log", "all well", None, level, by), LOOKS) == (shown, True, None)
    assert render(event("log", "all well\n", None, level, by)).text == f"{level}: all well\n"


def test_a_gap_is_said():
    made = render(gap_event("run/r1", 3, 9, 1, "pruned"))
    assert made == ("warning: events 3 to 9 are no longer kept (pruned)\n", True, None)


def test_a_line_that_is_rewritten_and_progress_are_drawn_and_do_not_stay():
    made = render(event("text", " 40%|████\x1b[2J", {"channel": "stderr", "update": True}))
    assert made == ("", True, Live(" 40%|████\\x1b[2J"))
    assert render(event("progress", "a\nb", {"done": 1, "total": 4})) == ("", True, Live("a b", 1.0, 4.0))
    assert render(event("progress", "", {"done": 1, "total": None, "text": "held"})).live == Live("held", 1.0, None)
    for odd in (None, [], {"done": "x", "total": {}}, {"done": None}):
        assert render(event("progress", "t", odd)).live == Live("t", 0.0, None)
    huge = Event("run/r1", 1, 1, "progress", raw=msgspec.Raw(b'{"done":1e400,"total":123456789012345678901234567890}'))
    with pytest.raises(msgspec.DecodeError):
        huge.data  # noqa: B018  # so no event can carry it


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        ("off", []),
        ("error", ["failed"]),
        ("warning", ["cancelling", "failed"]),
        ("info", ["running", "cancelling", "failed"]),
        ("debug", ["queued", "running", "cancelling", "failed"]),
    ],
)
def test_changes_of_state_from_a_level_on(states, shown):
    levels = {"queued": "debug", "running": "info", "cancelling": "warning", "failed": "error"}
    look = renderer(LOOKS, states=states)
    made = [look.render(event("state", text, {"status": text}, level, "host")) for text, level in levels.items()]
    assert [one for one in made if one != Rendered()] == [(painted("34", text) + "\n", True, None) for text in shown]
    # Always shown: nobody would know what there is to wait for.
    again = event("state", "attempt 1 failed", {"status": "pending", "failed_attempt": 1}, "warning", "host")
    assert look.render(again).text == painted("34", "attempt 1 failed") + "\n", (
        "always: or nobody knows what it waits for"
    )


def test_a_state_without_words():
    assert render(event("state", "", {"status": "running"}), states="debug").text == 'state: {"status":"running"}\n'


def test_a_kept_file_is_named_with_its_size_and_where_it_is():
    one = event("artifact", "report.csv", msgspec.to_builtins(ARTIFACT))
    asked = []

    def path(run_id: str, artifact_id: str) -> str | None:
        asked.append((run_id, artifact_id))
        return "/data/artifacts/r1/a1"

    assert render(one, artifact_path=path).text == "artifact: report.csv, 3.0 MiB, /data/artifacts/r1/a1\n"
    assert asked == [("r1", "a1")]
    assert render(one, artifact_path=lambda _run, _id: None).text == "artifact: report.csv, 3.0 MiB, id a1\n"
    assert render(one) == ("artifact: report.csv, 3.0 MiB, id a1\n", True, None)


def test_an_artifact_event_that_somebody_made_up():
    assert render(event("artifact", "x.csv", {"id": 5})).text == "artifact: x.csv\n"
    assert render(event("artifact", "", [1])).text == "artifact: [1]\n"


def test_tables_data_and_kinds_nobody_knows():
    table = event("table", "T", {"headers": ["name", "n"], "rows": [["a", 1]], "title": "T", "rule": "-"})
    assert render(table).text == "T\nname  n\n----  -\na     1\n"
    assert render(event("data", "", {"x": [1, 2]})).text == '{"x": [1, 2]}\n'
    assert render(event("data", "for people", {"x": 1})).text == "for people\n"
    assert render(event("invented later", "", [1])).text == "[1]\n"
    long = render(event("data", "", [{"n": n, "text": "x" * 50} for n in range(100)]), lines=10).text
    assert long.count("\n") == 10


def test_what_interests_nobody_leaves_what_is_drawn_alone():
    assert render(event("stats", "", {"calls": 1})) == render(event("meta", "x")) == Rendered()


def test_for_a_pipe_everything_is_as_it_is():
    raw = renderer(DARK, raw=True, states="debug")
    assert raw.render(event("text", "\x1b[2Jx\r\n", {}, "error")).text == "\x1b[2Jx\r\n"
    assert raw.render(event("log", "\x1b[2Jx", None, "warning", "host")).text == "warning: \x1b[2Jx\n"
    assert raw.render(event("table", "", {"rows": [["a", None, 1]], "title": "T"})).text == "a\t\t1\n"
    assert raw.render(event("data", "", {"x": "y" * 500})).text == '{"x":"' + "y" * 500 + '"}\n'
    assert raw.render(event("progress", "t", {"done": 1, "total": 2})).live == Live("t", 1.0, 2.0)


@pytest.mark.parametrize("kind", ["text", "log", "state", "artifact", "data", "progress", "table", "gap", "other"])
def test_no_event_acts_on_a_terminal(kind):
    nasty = "<\x1b[2J\x1b]0;owned\x07\x9b2J\r\x08\u202e>"
    datas = [None, nasty, [nasty], {"headers": [nasty], "rows": [[nasty]], "title": nasty}, {nasty: nasty}]
    datas += [{"update": True}, msgspec.to_builtins(msgspec.structs.replace(ARTIFACT, id=nasty, name=nasty))]
    for data in datas:
        made = render(event(kind, nasty, data, nasty, nasty), DARK, states="debug")
        bare = render(event(kind, "", data), DARK, states="debug")
        for text in (made.text, bare.text, *(one.live.text for one in (made, bare) if one.live is not None)):
            rest = re.sub(r"\x1b\[[0-9;:]*m", "", text)
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", rest)


def test_a_million_lines_are_rendered_in_no_time():
    block = "".join(f"line {number} of many\n" for number in range(3000))
    one, look = event("text", block, {"first_line": 1, "lines": 3000, "channel": "stdout"}), renderer(DARK)
    begun = time.process_time()
    for _ in range(100):
        look.render(one)
    assert (time.process_time() - begun) / 300_000 < 0.5e-6, "it takes a hundredth of that"
