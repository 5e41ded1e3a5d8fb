"""Consoles as they are described, listed and exported; sections of meta that ask for something."""

from __future__ import annotations

import json

import pytest
from kernel_kit import ANN, Plugin, cmd

from trunnion.kernel.registry import Contributed
from trunnion.model.commands import Query
from trunnion.model.contributions import Console, MetaSection, StreamSource
from trunnion.model.errors import Conflict, InvalidArguments
from trunnion.model.runs import Caller

BOB = Caller("bob", "web", "operator")
WEB = frozenset({"web"})


async def quick() -> int:
    return 1


def meta(rig, caller: Caller = ANN) -> dict:
    return json.loads(rig.door.meta(caller).body)


def shown(rig, path: str, caller: Caller = ANN) -> dict:
    return next(c for c in meta(rig, caller)["consoles"] if c["path"] == path)


WHOLE = Console(
    path="shop.till",
    title="The till",
    description="Where money goes.",
    order=3,
    prompt="till> ",
    style={"prompt": "ansigreen"},
    banner="Welcome.",
    completer="shop.till.words",
    validator="shop.till.check",
    accept_undefined=True,
    on_miss="shop.till.miss",
    on_enter="shop.till.enter",
    on_leave="shop.till.leave",
)


def till(**more: object) -> dict:
    commands = [cmd(quick, console="shop.till", name=name, **more) for name in ("miss", "enter", "leave")]
    queries = [Query.of(quick, console="shop.till", name=name, **more) for name in ("words", "check")]
    return {"commands": commands, "queries": queries}


async def test_every_field_of_a_console_is_in_meta(start) -> None:
    given = till()
    plugin = {
        "queries": given["queries"],
        "consoles": [WHOLE, Console(path="", title="Main", accept_undefined="system")],
    }
    async with start(*given["commands"], plugin=plugin) as rig:
        described = shown(rig, "shop.till")
        fields = {name: getattr(WHOLE, name) for name in WHOLE.__struct_fields__}
        assert {name: described[name] for name in fields} == fields
        assert described["commands"] == ["shop.till.enter", "shop.till.leave", "shop.till.miss"]
        assert shown(rig, "shop")["children"] == ["shop.till"]
        root = shown(rig, "")
        assert (root["title"], root["accept_undefined"]) == ("Main", "system")
        assert rig.host.registry.root().title == "Main"
        assert not [code for code in await rig.codes() if code == "console.problem"]


async def test_what_a_caller_may_not_see_is_not_named_by_a_console(start) -> None:
    given = till()
    seen = cmd(quick, console="shop.till", name="seen", expose=WEB)
    plugin = {"queries": given["queries"], "consoles": [WHOLE]}
    async with start(*given["commands"], seen, plugin=plugin) as rig:
        described = shown(rig, "shop.till", BOB)
        assert described["title"] == "The till"
        names = ("completer", "validator", "on_miss", "on_enter", "on_leave")
        assert [described[name] for name in names] == [""] * 5


async def test_a_console_without_commands_is_shown_to_who_may_call_what_its_lines_go_to(start) -> None:
    """One whose lines go to a command elsewhere, or to the system's shell."""
    plugin = {
        "consoles": [
            Console(path="far.away", accept_undefined=True, on_miss="shop.till.miss"),
            Console(path="system", accept_undefined="system"),
            Console(path="empty"),
            Console(path="lost", accept_undefined=True, on_miss="shop.none"),
        ],
    }
    async with start(cmd(quick, console="shop.till", name="miss", expose=WEB), plugin=plugin) as rig:
        assert {"far", "far.away", "system"} <= {c["path"] for c in meta(rig)["consoles"]}
        assert not {"empty", "lost"} & {c["path"] for c in meta(rig)["consoles"]}
        assert {"far.away"} == {"far.away", "system"} & {c["path"] for c in meta(rig, BOB)["consoles"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "Shop"},
        {"path": "shop."},
        {"accept_undefined": "shell"},
        {"accept_undefined": 1},
        {"accept_undefined": True},
        {"on_enter": "Not Dotted"},
        {"completer": "x."},
    ],
)
def test_a_console_that_is_none_cannot_be_made(wrong) -> None:
    """Defence: ``Console.__post_init__``."""
    with pytest.raises(ValueError, match="console"):
        Console(**{"path": "shop", **wrong})


@pytest.mark.parametrize("wrong", [{"order": "first"}, {"style": {"prompt": 3}}, {"title": None}, {"banner": object()}])
async def test_a_field_of_another_type_withdraws_its_plugin(start, wrong) -> None:
    """Defence: ``by_path`` converts; otherwise meta could not be made for anybody."""
    more = {"q": Plugin([cmd(quick, name="late")], consoles=[Console(path="t", **wrong)])}
    async with start(more_plugins=more) as rig:
        record = next(r for r in rig.kernel.records() if r.id == "q")
        assert (record.state, "console 't'" in record.reason) == ("broken", True)
        assert rig.kernel.registry.command("t.late") is None
        assert meta(rig)


async def test_one_owner_describes_a_console_once(start) -> None:
    async with start(cmd(quick)) as rig:
        twice = [Console(path="t", title="a"), Console(path="t", title="b")]
        with pytest.raises(Conflict, match="'t' twice"):
            rig.kernel.registry.replace("q", Contributed(consoles=twice))
        with pytest.raises(InvalidArguments, match="console 't'"):
            rig.kernel.registry.replace("q", Contributed(consoles=[Console(path="t", order=1.5)]))


async def test_of_two_descriptions_the_first_by_name_counts_whoever_came_first(start) -> None:
    """Defence: ``in_force``. Both plugins stay as they are."""
    more = {
        "z": Plugin(
            [cmd(quick, name="z")], consoles=[Console(path="t", title="of z"), Console(path="runs", title="Z")]
        ),
        "q": Plugin([cmd(quick, name="q")], consoles=[Console(path="t", title="of q")]),
    }
    async with start(more_plugins=more) as rig:
        assert shown(rig, "t")["title"] == "of q"
        assert shown(rig, "runs")["title"] == "Runs"
        assert {"t.q", "t.z"} <= {c.id for c in rig.host.registry.commands("t")}
        texts = [e.text for e in await rig.host_events() if e.kind == "log" and e.data["code"] == "console.problem"]
        assert texts == [
            "host and z both describe the console 'runs': that of host counts",
            "q and z both describe the console 't': that of q counts",
        ]
        rig.kernel.registry.replace("a/late", Contributed(consoles=[Console(path="t", title="of a")]))
        assert shown(rig, "t")["title"] == "of a"
        rig.kernel.registry.withdraw("a/late")
        assert shown(rig, "t")["title"] == "of q"


async def test_a_name_nothing_answers_to_is_reported_once_as_long_as_it_lasts(start) -> None:
    """Defence: ``ConsoleWatch``. The console is there all the same."""
    plugin = {"consoles": [Console(path="t", on_enter="t.hello", completer="t.quick")]}

    async with start(cmd(quick), plugin=plugin) as rig:

        async def told() -> list[str]:
            told = [e for e in await rig.host_events() if e.kind == "log" and e.data["code"] == "console.problem"]
            assert {e.level for e in told} == {"warning"}
            return [e.text for e in told]

        first = "the console 't' of p names 't.hello' as its on_enter, but there is no command of this name"
        second = "the console 't' of p names 't.quick' as its completer, but there is no query of this name"
        assert await told() == [first, second]
        hello = Contributed(commands=[cmd(quick, name="hello")])
        rig.kernel.registry.replace("p/x", hello)
        rig.kernel.registry.replace("p/y", Contributed())
        assert await told() == [first, second]
        rig.kernel.registry.withdraw("p/x")
        assert await told() == [first, second, first]


async def test_siblings_stand_in_their_order(start) -> None:
    """Defence: ``Registry.children`` sorts as meta does."""
    plugin = {"consoles": [Console(path="t.a", order=9), Console(path="t.b", order=1)]}
    commands = [cmd(quick, console=f"t.{name}") for name in "abc"]
    async with start(*commands, plugin=plugin) as rig:
        order = ["t.c", "t.b", "t.a"]
        assert [console.path for console in rig.host.registry.children("t")] == order
        assert shown(rig, "t")["children"] == order


async def test_a_section_is_shown_to_who_sees_all_that_it_requires(start) -> None:
    """Defence: ``MetaBuilder._has``: commands and queries by id or alias, streams by name or family."""

    def section(name: str, *requires: str) -> MetaSection:
        return MetaSection(point="menu", id=name, data={}, requires=requires)

    plugin = {
        "queries": [Query.of(quick, console="q", name="open", expose=WEB), Query.of(quick, console="q", name="local")],
        "streams": [StreamSource(pattern="unit/*", expose=WEB), StreamSource(pattern="local/*")],
        "sections": [
            section("nothing"),
            section("command", "t.open"),
            section("alias", "t.offen"),
            section("query", "q.open"),
            section("family", "unit/*"),
            section("stream", "unit/x/log"),
            section("all", "t.open", "q.open", "unit/x"),
            section("no command", "t.open", "t.quick"),
            section("no query", "q.local"),
            section("no family", "local/*"),
            section("no stream", "local/x"),
            section("no such", "no.such"),
        ],
    }
    commands = [cmd(quick), cmd(quick, name="open", aliases=("t.offen",), expose=WEB)]
    async with start(*commands, plugin=plugin) as rig:

        def sections(caller: Caller) -> set[str]:
            return {s["id"] for s in meta(rig, caller)["sections"] if s["point"] == "menu"}

        everything = {s.id for s in plugin["sections"]}
        assert sections(ANN) == everything - {"no such"}
        assert sections(BOB) == {name for name in everything if not name.startswith("no ")}
