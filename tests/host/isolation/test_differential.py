"""A handler in a process of its own says, returns and raises what it does in the host: events, result, error, row."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import handlers_kit as kit
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_kit import Rig, cmd, rig

from trunnion.model.runs import Run

EXAMPLES = int(os.environ.get("ROUNDS") or 25)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=12)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
SPECIAL = st.sampled_from(sorted({
    "set", "path", "error", "object", "circle", "huge", "surrogate", "nan", "bytes", "large", "none"
}))  # fmt: skip
RAISES = st.sampled_from(sorted({
    "value", "failed", "facts", "unavailable", "exit", "interrupt", "odd", "recursion", "cancelled"
}))  # fmt: skip
SAYS = st.fixed_dictionaries(
    {"do": st.sampled_from(["echo", "log", "logging", "module_log", "data", "block"]), "value": PLAIN},
    optional={"level": st.sampled_from(["debug", "warning", "odd"])},
)
LOOKS = st.sampled_from([{"align": ["right"], "rule": "─", "gap": 1}, {"wrap": 5}, {"rule": "\t"}, {"x": 1}])
TABLES = st.fixed_dictionaries({"do": st.just("table"), "value": PLAIN}, optional={"look": LOOKS})
PRINTS = st.fixed_dictionaries(
    {"do": st.just("print"), "value": WORDS},
    optional={"err": st.booleans(), "end": st.sampled_from(["", "\n", "\n\n"])},
)
EMITS = st.fixed_dictionaries(
    {"do": st.just("emit"), "value": st.sampled_from(["mine", "data", "state", "gap", "no\nword", ""])}
)
STEPS = st.lists(
    SAYS
    | TABLES
    | PRINTS
    | EMITS
    | st.fixed_dictionaries({"do": st.just("stats"), "value": WORDS})
    | st.fixed_dictionaries({"do": st.just("tried"), "value": SPECIAL})
    | st.fixed_dictionaries({"do": st.just("raise"), "value": RAISES}),
    max_size=6,
)
HANDLERS = {"perform": kit.perform, "perform_async": kit.perform_async, "perform_later": kit.perform_later}
Cases = list[dict[str, object]]
Compare = Callable[[str, Cases], list[Run]]


@pytest.fixture
def compare(tmp_path: Path) -> Iterator[Compare]:
    """Runs a handler both ways, all cases at once; returns the isolated runs.

    The host starts at the first call: between setting up and calling a test pytest puts in streams of its own.
    """
    here = [cmd(handler, name=f"{name}_here") for name, handler in HANDLERS.items()]
    apart = [cmd(handler, name=f"{name}_apart", isolate="process") for name, handler in HANDLERS.items()]
    stack, hosts = AsyncExitStack(), list[Rig]()
    with asyncio.Runner() as runner:

        def compared(name: str, cases: Cases) -> list[Run]:
            if not hosts:
                hosts.append(runner.run(stack.enter_async_context(rig(tmp_path, *here, *apart, capture=True))))
            return runner.run(_all_compared(hosts[0], name, cases))

        yield compared
        runner.run(stack.aclose())


async def _all_compared(host: Rig, name: str, cases: Cases) -> list[Run]:
    return await asyncio.gather(*[_compared(host, name, args) for args in cases])


async def _compared(host: Rig, name: str, args: dict[str, object]) -> Run:
    one, other = await asyncio.gather(*[host.run(f"t.{name}_{where}", **args) for where in ("here", "apart")])
    assert await _shown(host, one) == await _shown(host, other)
    return other


async def _shown(host: Rig, run: Run) -> object:
    """All that may be compared: neither ids nor times, nor the name of the command. Figures are told at intervals."""
    events = [
        (event.kind, event.level, event.by, event.text, event.data)
        for event in await host.events(run)
        if event.kind != "stats"
    ]
    shown = (run.status, run.result, run.error, run.stats, events)
    return repr(shown).replace(run.command_id, "command").replace(run.id, "run")


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(HANDLERS)), STEPS, PLAIN)
def test_the_same_handler_says_the_same_in_both_places(
    compare: Compare, name: str, steps: list[dict[str, object]], result: object
) -> None:
    compare(name, [{"steps": steps, "result": result}])


@pytest.mark.parametrize("name", sorted(HANDLERS))
def test_what_has_no_form_in_json_is_the_same_failure_in_both_places(compare: Compare, name: str) -> None:
    kinds = ["set", "path", "error", "object", "circle", "huge", "surrogate", "nan", "bytes", "large"]
    runs = compare(name, [{"steps": [], "special": special} for special in kinds])
    failed = {special for special, run in zip(kinds, runs, strict=True) if run.status == "failed"}
    assert failed == {"object", "circle", "surrogate"}


@pytest.mark.parametrize("name", sorted(HANDLERS))
def test_every_kind_of_error_is_the_same_in_both_places(compare: Compare, name: str) -> None:
    kinds = ["value", "failed", "facts", "exit", "interrupt", "odd", "recursion", "cancelled", "unavailable"]
    runs = compare(name, [{"steps": [{"do": "raise", "value": what}]} for what in kinds])
    assert {run.status for run in runs} == {"failed"}
    assert [run.error.code for run in runs if run.error] == ["failed"] * 8 + ["unavailable"]


def test_much_output_is_cut_into_the_same_events(compare: Compare) -> None:
    lines = "\n".join(f"{n} " + "z" * 100 for n in range(5000))
    compare("perform", [
        {"steps": [{"do": "print", "value": lines}, {"do": "block", "value": lines[:300_000]}]},
        {"steps": [{"do": "print", "value": "w" * 3_000_000, "end": ""}]},
        {"steps": [{"do": "log", "value": "v" * 200_000}]},
    ])  # fmt: skip
