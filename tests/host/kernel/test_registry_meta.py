"""What there is: sets that come and go, names that clash, and meta as each caller may see it."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_kit import ANN, Plugin, cmd, until

from trunnion.kernel.canonical import canonical
from trunnion.kernel.entries import CommandEntry, Compiler
from trunnion.kernel.registry import Contributed, Registry
from trunnion.model.commands import Command, Query
from trunnion.model.contributions import Console, MetaSection, StreamSource
from trunnion.model.errors import Conflict, InvalidArguments, NotFound, Unavailable
from trunnion.model.json import Json
from trunnion.model.runs import Caller

WEB = frozenset({"web"})
NUMBERS = st.floats(-1e21, 1e21) | st.floats(-1, 1) | st.integers(-(10**7), 10**7).map(lambda n: n / 1000)


async def quick(n: int = 0) -> int:
    return n


def meta(rig, caller: Caller = ANN) -> dict[str, object]:
    return json.loads(rig.host.door(caller.source).meta(caller).body)


async def test_sets_are_added_changed_and_withdrawn_while_the_host_runs(start) -> None:
    """Defence: ``Registry.replace`` and ``withdraw``, each one generation."""
    async with start() as rig:
        registry = rig.kernel.registry
        before = registry.generation
        registry.replace("d1", Contributed(commands=[cmd(quick, name="one"), cmd(quick, name="two")]))
        assert (await rig.run("t.one")).status == "succeeded"
        registry.replace("d1", Contributed(commands=[cmd(quick, name="two", aliases=("t.zwei",))]))
        with pytest.raises(NotFound):
            await rig.submit("t.one")
        assert (await rig.run("t.zwei")).command_id == "t.two"
        registry.withdraw("d1")
        registry.withdraw("d1")
        with pytest.raises(NotFound):
            await rig.submit("t.two")
        assert registry.generation == before + 3


async def test_clashes_name_both_and_change_nothing(start) -> None:
    """Defence: ``registry._by_name`` before anything is kept."""

    async def ask() -> None:
        pass

    async with start(cmd(quick, aliases=("t.fast",))) as rig:
        registry = rig.kernel.registry
        generation = registry.generation
        for contributed, name in [
            (Contributed(commands=[cmd(quick)]), "t.quick"),
            (Contributed(commands=[cmd(quick, name="other", aliases=("t.quick",))]), "t.quick"),
            (Contributed(commands=[cmd(quick, name="fast")]), "t.fast"),
            (Contributed(queries=[Query.of(ask, console="t", name="quick")]), "t.quick"),
        ]:
            with pytest.raises(Conflict) as caught:
                registry.replace("late", contributed)
            assert caught.value.details == {"name": name, "owners": ["p", "late"]}
        with pytest.raises(Conflict, match="twice"):
            registry.replace("late", Contributed(commands=[cmd(quick, name="x"), cmd(quick, name="x")]))
        with pytest.raises(InvalidArguments):
            registry.replace("late", Contributed(commands=[cmd(quick, name="x", lock="{nothing}")]))
        assert registry.generation == generation
        assert "late" not in registry.owners()
        assert (await rig.run("t.quick")).status == "succeeded"


async def test_the_later_plugin_is_withdrawn_whole_and_built_ins_win(start) -> None:
    """Defence: ``Host._register``."""
    more = {
        "q": Plugin([cmd(quick), cmd(quick, name="mine")]),
        "z": Plugin([cmd(quick, console="host", name="drain"), cmd(quick, name="hers")]),
    }
    async with start(cmd(quick), more_plugins=more) as rig:
        records = {record.id: record for record in rig.kernel.records()}
        assert (records["p"].state, records["q"].state, records["z"].state) == ("loaded", "broken", "broken")
        assert "t.quick" in records["q"].reason
        assert "p" in records["q"].reason
        assert "host.drain" in records["z"].reason
        for name in ("t.mine", "t.hers"):
            with pytest.raises(NotFound):
                await rig.submit(name)


async def test_availability_is_no_part_of_the_revision(start) -> None:
    """Defence: the descriptor that is digested holds no ``available``."""
    async with start() as rig:
        registry = rig.kernel.registry
        registry.replace("d1", Contributed(commands=[cmd(quick, name="one")]))
        up = rig.door.meta(ANN)
        registry.set_available("d1", available=False)
        down = rig.door.meta(ANN)
        assert (up.revision == down.revision, up.generation < down.generation) == (True, True)
        described = next(c for c in meta(rig)["commands"] if c["id"] == "t.one")
        assert described["available"] is False
        with pytest.raises(Unavailable, match="d1"):
            await rig.submit("t.one")
        generation = registry.generation
        registry.set_available("d1", available=False)
        assert registry.generation == generation
        registry.set_available("d1", available=True)
        assert (await rig.run("t.one")).status == "succeeded"
        with pytest.raises(NotFound):
            registry.set_available("nobody", available=True)


async def test_each_change_is_an_event_on_the_stream_of_the_host(start) -> None:
    """Defence: ``Kernel._meta_changed``."""
    async with start() as rig:
        rig.kernel.registry.replace("d1", Contributed(commands=[cmd(quick, name="one")]))
        rig.kernel.registry.withdraw("d1")
        generations = [e.data["generation"] for e in await rig.host_events() if e.kind == "meta"]
        assert generations[-2:] == [rig.kernel.meta.generation - 1, rig.kernel.meta.generation]


async def test_meta_shows_each_caller_what_it_may_see(start) -> None:
    """Defence: ``MetaBuilder._build`` asks the one policy."""

    async def ask() -> None:
        pass

    plugin = {
        "queries": [Query.of(ask, console="q.deep", expose=WEB), Query.of(ask, console="q", name="local")],
        "streams": [StreamSource(pattern="unit/*", expose=WEB), StreamSource(pattern="local/*")],
        "consoles": [Console(path="t", title="The tests", order=5), Console(path="q", order=1)],
        "sections": [
            MetaSection(point="menu", id="seen", data={"x": 1}, requires=("t.open", "q.deep.ask", "unit/*")),
            MetaSection(point="menu", id="unseen", data={"x": 1}, requires=("t.quick",)),
        ],
    }
    async with start(cmd(quick), cmd(quick, name="open", expose=WEB), plugin=plugin) as rig:
        mine, theirs = meta(rig), meta(rig, Caller("bob", "web", "operator"))
        assert mine["revision"] != theirs["revision"]
        assert {"t.quick", "t.open"} <= {c["id"] for c in mine["commands"]}
        assert [c["id"] for c in theirs["commands"] if c["id"].startswith("t.")] == ["t.open"]
        assert [q["id"] for q in theirs["queries"] if q["id"].startswith("q.")] == ["q.deep.ask"]
        assert "local/*" not in [s["pattern"] for s in theirs["streams"]]
        assert [s["id"] for s in theirs["sections"] if s["point"] == "menu"] == ["seen"]
        assert [s["id"] for s in mine["sections"] if s["point"] == "menu"] == ["seen", "unseen"]
        consoles = {c["path"]: c for c in theirs["consoles"]}
        assert consoles["t"]["commands"] == ["t.open"]
        assert consoles["t"]["title"] == "The tests"
        assert consoles["q"]["children"] == ["q.deep"]
        root = consoles[""]["children"]
        assert root.index("q") < root.index("t")
        assert "t.quick" not in json.dumps(theirs)


async def test_meta_says_what_a_frontend_needs_of_a_command(start) -> None:
    async def full(a: int, *, flag: bool = False) -> int:
        """Does it all.

        Args:
            a: a number.
        """
        return a

    async with start(
        cmd(full, aliases=("t.all",), lock="k:{a}", timeout=5.0, role="admin", expose=WEB, confirm="Sure?")
    ) as rig:
        shown = next(c for c in meta(rig)["commands"] if c["id"] == "t.full")
        assert shown["aliases"] == ["t.all"]
        assert shown["args"]["properties"]["a"]["type"] == "integer"
        assert shown["argv"]["min"] == 1
        assert shown["lock"] == {"key": "k:{a}", "limit": 1}
        assert (shown["timeout"], shown["role"], shown["expose"], shown["confirm"]) == (5, "admin", ["web"], "Sure?")
        assert len(shown["revision"]) == 64
        assert {"meta", "host", "generation", "revision", "plugins"} <= set(meta(rig))


async def test_the_same_content_has_the_same_revision_in_every_start(start) -> None:
    """Defence: canonical JSON under the digest; neither boot nor order is in it."""
    commands = [cmd(quick, name=name) for name in "abc"]
    async with start(*commands) as rig:
        one = rig.door.meta(ANN)
        entry = rig.kernel.registry.command("t.a")
    async with start(*reversed(commands)) as rig:
        two = rig.door.meta(ANN)
        assert rig.kernel.registry.command("t.a").revision == entry.revision
    assert one.revision == two.revision
    assert one.body != two.body


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.text(max_size=5), st.integers(-(2**53) + 1, 2**53 - 1) | st.text() | st.booleans(), max_size=6)
)
def test_canonical_json_does_not_depend_on_order(value: dict[str, object]) -> None:
    backwards = dict(reversed(value.items()))
    assert canonical(value) == canonical(backwards)
    assert json.loads(canonical(value)) == value


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["replace", "withdraw", "up", "down"]),
            st.sampled_from(["x", "y"]),
            st.sets(st.sampled_from(["a", "b", "c", "d"]), max_size=3),
        ),
        max_size=20,
    )
)
def test_whatever_owners_do_names_have_one_owner_each(steps) -> None:
    registry, kept = Registry(Compiler()), {}
    for action, owner, names in steps:
        generation = registry.generation
        if action == "replace":
            taken = {name for other, held in kept.items() if other != owner for name in held}
            contributed = Contributed(commands=[cmd(quick, name=name) for name in names])
            if names & taken:
                with pytest.raises(Conflict):
                    registry.replace(owner, contributed)
                assert registry.generation == generation
            else:
                registry.replace(owner, contributed)
                kept[owner] = names
        elif action == "withdraw":
            registry.withdraw(owner)
            kept.pop(owner, None)
        elif owner in kept:
            registry.set_available(owner, action == "up")
        assert {e.id: e.owner for e in registry.all_commands()} == {
            f"t.{name}": owner for owner, names in kept.items() for name in names
        }


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | NUMBERS | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
        max_leaves=12,
    )
)
def test_the_fast_way_to_canonical_json_is_the_same(value: Json) -> None:
    """Defence: ``_written_alike``; without it ``1.0``, and keys beyond ASCII, come out otherwise."""
    assert canonical(value) == rfc8785.dumps(value)


async def test_meta_built_before_shows_no_secret_learned_since(start) -> None:
    """Defence: the matcher beside what is remembered, of the whole document and of each entry."""
    async with start(cmd(quick, title="the word is wherewithal"), cmd(quick, name="other")) as rig:
        assert b"wherewithal" in rig.door.meta(ANN).body
        release = rig.kernel.redaction.register("wherewithal", owner="test")
        assert b"wherewithal" not in rig.door.meta(ANN).body
        rig.kernel.registry.replace("more", Contributed())
        assert b"wherewithal" not in rig.door.meta(ANN).body
        release()
        assert b"wherewithal" in rig.door.meta(ANN).body


def test_what_an_owner_gives_again_is_not_compiled_again_unless_it_has_changed() -> None:
    """Defences: ``is`` and ``given`` in ``CommandEntry.again``."""
    registry, schema = Registry(Compiler()), {"type": "object", "properties": {"a": {"type": "integer"}}}
    kept, other = cmd(quick), cmd(lambda args: None, name="other", args=schema)

    def entries(*commands: Command, available: bool = True) -> list[CommandEntry]:
        registry.replace("x", Contributed(commands=commands), available=available)
        return registry.all_commands()

    other_entry, kept_entry = entries(kept, other)
    assert entries(kept, other) == [other_entry, kept_entry]
    assert entries(kept, cmd(lambda args: 1, name="other", args=schema))[0] is not other_entry
    assert entries(kept, other, available=False)[1].available is False
    assert kept_entry.available is True, "it may still be in force when what replaces it is refused"
    schema["properties"] = {"a": {"type": "string"}}
    assert entries(kept, other)[0].revision != other_entry.revision


async def test_a_running_command_that_is_withdrawn_runs_on(start) -> None:
    go = asyncio.Event()

    async def works() -> int:
        await go.wait()
        return 1

    async with start() as rig:
        registry = rig.kernel.registry
        registry.replace("d1", Contributed(commands=[cmd(works, lock="one")]))
        running, waiting = await rig.submit("t.works"), await rig.submit("t.works")
        registry.withdraw("d1")
        go.set()
        assert (await rig.ended(running)).status == "succeeded"
        await until(lambda: rig.phase(waiting) == "parked")
        registry.replace("d1", Contributed(commands=[cmd(works, lock="one")]))
        assert (await rig.ended(waiting)).status == "succeeded"
        rig.assert_idle()


async def test_the_tree_of_consoles(start) -> None:
    async with start(cmd(quick, console="a.b.c"), cmd(quick, console="a"), cmd(quick, console="", name="top")) as rig:
        registry = rig.kernel.registry
        assert [c.path for c in registry.children("a")] == ["a.b"]
        assert [c.path for c in registry.children("a.b")] == ["a.b.c"]
        assert [e.id for e in registry.commands("a")] == ["a.quick"]
        assert [e.id for e in registry.commands("")] == ["top"]
        assert registry.get("a.quick").id == "a.quick"
        assert hashlib.sha256(canonical(registry.get("top").descriptor)).hexdigest() == registry.get("top").revision
