"""Calls made up by hypothesis: sensible ones, and sensible ones with something wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import msgspec
from doors_kit.call import FOLDER, Call
from doors_kit.operations import Ways
from hypothesis import strategies as st

from trunnion.model.json import Json

HASTE = 0.05
TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "",
            " ",
            "-",
            "--",
            "-x",
            "--loud",
            "--text=1",
            "-5",
            "a b",
            "'",
            '"',
            "\\",
            "a\nb",
            "\r",
            "\t",
            "$(id)",
            "`id`",
            "; rm -rf /",
            "*",
            "~",
            "#",
            "%s{}",
            "true",
            "null",
            "1",
            "[1]",
            "{}",
            "é",
            "\u202e",
            "日本",
            "\x00",
            "\x1b[31m",
            "ß",
            "İ",
            "=",
            "a=b",
            "/etc/passwd",
            "../x",
            "a" * 300,
        ]
    ),
)
WHOLE = st.one_of(
    st.integers(-20, 20),
    st.sampled_from([2**31, 2**53 - 1, 2**53, -(2**53), 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 10**120]),
)
REAL = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.0, -0.0, 1.0, 1e300, 5e-324, 1e16, 0.1])
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), WHOLE, REAL, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
POINT = st.fixed_dictionaries({"x": WHOLE}, optional={"y": REAL, "label": st.none() | TEXT})
SECRET = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789"), min_size=12, max_size=20)
HOW = st.sampled_from(get_args(Ways))


def _args(required: Mapping[str, st.SearchStrategy[Json]], **optional: st.SearchStrategy[Json]) -> st.SearchStrategy:
    return st.fixed_dictionaries(dict(required), optional=optional)


COMMAND_ARGS: dict[str, st.SearchStrategy[dict[str, Json]]] = {
    "d.say": _args({"text": TEXT}, times=st.integers(0, 3), loud=st.booleans()),
    "d.typed": _args(
        {"whole": st.integers(-(2**53) + 1, 2**53 - 1) | WHOLE},
        real=REAL,
        flag=st.none() | st.booleans(),
        tone=st.sampled_from(["kind", "cool", 3]),
        small=st.integers(0, 9),
        word=st.text(st.sampled_from("abc"), max_size=8),
        tags=st.none() | st.lists(TEXT, max_size=3),
        sizes=st.lists(st.integers(-9, 9), max_size=3),
        table=st.none() | st.dictionaries(TEXT, WHOLE, max_size=2),
        anything=JSON,
    ),
    "d.shape": _args({"points": st.lists(POINT, max_size=3)}, home=st.none() | POINT),
    "d.given": _args(
        {"big": WHOLE | st.sampled_from(["9007199254740993", "-9223372036854775808", "1.0"])},
        ratio=REAL,
        mode=st.sampled_from(["fast", "slow", None]),
        either=st.integers(0, 5) | st.text(max_size=4),
        nested=st.fixed_dictionaries({}, optional={"deep": st.lists(WHOLE, max_size=2)}),
        **{"pass-word": SECRET},
    ),
    "d.words": _args({"first": TEXT}, rest=st.lists(TEXT, max_size=3)),
    "d.unlock": _args({"code": SECRET}, door=st.sampled_from(["front", "back"]) | SECRET),
    "d.file": _args({"path": TEXT}, also=st.lists(TEXT, max_size=2)),
    "d.between": _args({"low": st.integers(-3, 8)}, high=st.integers(-3, 8)),
    "d.end": _args({"how": HOW}, note=TEXT),
    "d.end-async": _args({"how": HOW}, note=TEXT),
    "d.end-apart": _args({"how": HOW}, note=TEXT),
    "d.slow": _args({}),
    "d.wait": _args({}, answer=TEXT),
    "d.again": _args({}),
    "d.parent": _args({}, child=st.sampled_from(["d.say", "speak", "d.words", "d.rule", "d.down", "d.no"]), text=TEXT),
    "d.light": _args({}, text=st.just("fail") | TEXT),
    "d.rule": _args({}, n=st.integers(0, 3)),
    "d.down": _args({}, n=st.integers(0, 3)),
    "d.tell": _args({"text": TEXT}),
    "speak": _args({"text": TEXT}),
}
QUERY_ARGS: dict[str, st.SearchStrategy[dict[str, Json]]] = {
    "d.count": _args({}, n=WHOLE, tags=st.none() | st.lists(TEXT, max_size=3), tone=st.sampled_from(["kind", "cool"])),
    "d.number": _args({}, n=WHOLE),
    "d.look": _args({"text": TEXT}, point=st.none() | POINT, code=SECRET),
    "d.ask-end": _args({"how": HOW}, note=TEXT),
    "d.ask-end-async": _args({"how": HOW}, note=TEXT),
    "d.late": _args({}),
    "d.ask-rule": _args({}, n=st.integers(0, 3)),
}
UNKNOWN = st.sampled_from(
    ["d.sey", "d", "say", "D.SAY", "d.say ", "nowhere.at-all", "-x", "--json", "é", "a" * 300, "d.d"]
)
RESERVED = """ctx self args kwargs caller _x __class__ command_id principal source role timeout run_id lock help version
json ot_executionTrackingId -x -- é"""
EXTRA = st.sampled_from(["", "a b", *RESERVED.split()])
WORD = st.one_of(
    TEXT,
    st.sampled_from(
        [
            "--text",
            "--whole=1",
            "--whole",
            "--no-flag",
            "--flag=maybe",
            "--n=2",
            "--how=exit",
            "--tags=[1]",
            "--output=/tmp/x",
            "-o",
            "--code=hunter2hunter2",
            "--first=a",
            "--big=9007199254740993",
        ]
    ),
)


@st.composite
def calls(
    draw: st.DrawFn, kinds: tuple[str, ...] = ("command", "query"), who: st.SearchStrategy[str] | None = None
) -> Call:
    """A call that makes sense, or nearly."""
    kind = draw(st.sampled_from(kinds))
    table = COMMAND_ARGS if kind == "command" else QUERY_ARGS
    name = draw(st.sampled_from(sorted(table)))
    args = dict(draw(table[name]))
    call = Call(kind=kind, name=name, args=args, who=draw(who) if who is not None else "")
    if name == "d.file" and draw(st.booleans()):
        call = msgspec.structs.replace(call, cwd=FOLDER)
    wrong = draw(st.sampled_from(["", "", "", "", *WRONG]))
    return _settled(WRONG[wrong](draw, call) if wrong else call)


def _settled(call: Call) -> Call:
    """What would stay for a minute is cancelled, or has little time."""
    if call.name != "d.wait" or call.kind == "query":
        return call
    return call if call.timeout == HASTE else msgspec.structs.replace(call, cancel=True)


def _extra(draw: st.DrawFn, call: Call) -> Call:
    return msgspec.structs.replace(call, args={**(call.args or {}), draw(EXTRA): draw(JSON)})


def _left_out(draw: st.DrawFn, call: Call) -> Call:
    args = dict(call.args or {})
    if args:
        del args[draw(st.sampled_from(sorted(args)))]
    return msgspec.structs.replace(call, args=args)


def _other_type(draw: st.DrawFn, call: Call) -> Call:
    args = dict(call.args or {})
    if args:
        args[draw(st.sampled_from(sorted(args)))] = draw(JSON)
    return msgspec.structs.replace(call, args=args)


def _other_name(draw: st.DrawFn, call: Call) -> Call:
    return msgspec.structs.replace(call, name=draw(UNKNOWN))


def _other_kind(draw: st.DrawFn, call: Call) -> Call:
    return msgspec.structs.replace(call, kind="query" if call.kind == "command" else "command")


def _words(draw: st.DrawFn, call: Call) -> Call:
    return msgspec.structs.replace(call, args=None, argv=tuple(draw(st.lists(WORD, max_size=5))))


def _line(draw: st.DrawFn, call: Call) -> Call:
    if call.kind == "query":
        return _words(draw, call)
    line = draw(st.sampled_from(["", "'", "a 'b", "\\", '"x" y', "--text='a b' --loud", "-- -x", "--text=\\"]) | TEXT)
    return msgspec.structs.replace(call, args=None, line=line)


def _nothing(draw: st.DrawFn, call: Call) -> Call:
    return msgspec.structs.replace(call, args=None, argv=())


def _stale(draw: st.DrawFn, call: Call) -> Call:
    return msgspec.structs.replace(call, revision="0" * 64) if call.kind == "command" else call


def _hasty(draw: st.DrawFn, call: Call) -> Call:
    timeout = draw(st.sampled_from([HASTE, 1e9, 1e308, 60.0]))
    return msgspec.structs.replace(call, timeout=timeout) if call.kind == "command" else call


def _labelled(draw: st.DrawFn, call: Call) -> Call:
    if call.kind == "query":
        return call
    labels = draw(st.dictionaries(st.sampled_from(["shift", "é", "a b"]), TEXT, max_size=2))
    return msgspec.structs.replace(call, labels=labels)


WRONG = {
    function.__name__: function
    for function in (
        _extra,
        _left_out,
        _other_type,
        _other_name,
        _other_kind,
        _words,
        _words,
        _line,
        _nothing,
        _stale,
        _hasty,
        _labelled,
    )
}
