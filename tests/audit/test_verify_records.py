"""What single records must be: in one encoding, and of the right types."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from figures import SEED
from hypothesis import example, given, settings
from hypothesis import strategies as st
from log_kit import NOTHING, Log, intent, made, outcome, text_of

from trunnion_audit import verify as verifier
from trunnion_audit.verify import (
    ORDINARY,
    STRUCTURAL,
    TYPES,
    Malformed,
    Report,
    decode,
    encode,
    quick,
    record_of,
    verify,
)

Figure = Callable[..., None]


def names(report: Report) -> list[tuple[str, int]]:
    return [(finding.name, finding.record) for finding in report.findings]


def spelled(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(line: bytes) -> bytes:
        assert old in line
        return line.replace(old, new, 1)

    return change


KIND = b'"kind":"note"'
WRONG: dict[str, Callable[[bytes], bytes]] = {
    "a space": spelled(b'"kind":', b'"kind": '),
    "a space at the end": lambda line: line + b" ",
    "a carriage return": lambda line: line + b"\r",
    "a byte order mark": lambda line: b"\xef\xbb\xbf" + line,
    "members in another order": lambda line: b'{"z":1,' + line[1:],
    "a member twice": spelled(KIND, KIND + b"," + KIND),
    "a float": spelled(KIND, b'"a":1.5,' + KIND),
    "a float that is whole": spelled(KIND, b'"a":1.0,' + KIND),
    "an exponent": spelled(KIND, b'"a":1e3,' + KIND),
    "minus zero": spelled(KIND, b'"a":-0,' + KIND),
    "not a number": spelled(KIND, b'"a":NaN,' + KIND),
    "infinity": spelled(KIND, b'"a":Infinity,' + KIND),
    "a leading zero": spelled(KIND, b'"a":01,' + KIND),
    "too large an integer": spelled(KIND, b'"a":9007199254740992,' + KIND),
    "an integer of 5,000 digits": spelled(KIND, b'"a":' + b"9" * 5000 + b"," + KIND),
    "an escape that is not needed": spelled(KIND, b'"a":"\\u0041",' + KIND),
    "an escaped slash": spelled(KIND, b'"a":"\\/",' + KIND),
    "upper case in an escape": spelled(KIND, b'"a":"\\u001F",' + KIND),
    "a long escape for a short one": spelled(KIND, b'"a":"\\u000a",' + KIND),
    "an escaped letter beyond ASCII": spelled(KIND, b'"a":"\\u00e9",' + KIND),
    "a lone surrogate": spelled(KIND, b'"a":"\\ud800",' + KIND),
    "bytes of a surrogate": spelled(KIND, b'"a":"\xed\xa0\x80",' + KIND),
    "bytes that are not UTF-8": spelled(KIND, b'"a":"\xc3(",' + KIND),
    "a control character": spelled(KIND, b'"a":"\x01",' + KIND),
    "a key in capitals": spelled(KIND, b'"A":1,' + KIND),
    "an inner key that is none": spelled(KIND, b'"a":{"a b":1},' + KIND),
    "backslashes outside of a string": spelled(b'"kind"', b'\\\\"kind"'),
    "nested too deeply": spelled(KIND, b'"a":' + b"[" * 200_000 + b"]" * 200_000 + b"," + KIND),
    "an array": lambda line: b"[" + line + b"]",
    "nothing": lambda line: b"",
    "no number": spelled(b'"n":', b'"m":'),
    "no prev": spelled(b'"prev":', b'"prex":'),
    "no time": spelled(b'"ts":', b'"tt":'),
    "a time that is text": spelled(b'"ts":1', b'"ts":"1",'.rstrip(b",") + b""),
    "true for a number": spelled(b'"ts":1700', b'"ts":true,"tt":1'),
    "too long": spelled(KIND, b'"a":"' + b"x" * (1 << 20) + b'",' + KIND),
}


@pytest.mark.parametrize("about", WRONG)
def test_a_line_that_is_no_record_though_the_chain_holds(tmp_path: Path, about: str) -> None:
    """Whoever wrote it: it is the line itself that is named, and nothing else."""
    log = Log()
    log.add("note")
    line = WRONG[about](text_of(log.head("note", {})))
    log.put_line(line)
    log.add("note")
    log.checkpoint()
    assert names(verify(log.write(tmp_path / "log"))) == [("malformed", 3)]


@pytest.mark.parametrize("kind", ["note", "lost"])
def test_how_long_a_line_may_be(tmp_path: Path, kind: str) -> None:
    for more in (0, 1):
        log = Log()
        rest = len(text_of(log.head(kind, {"reason": ""})))
        log.add(kind, reason="x" * ((1 << 20) - 1 - rest + more))
        log.checkpoint()
        assert len(log.lines[1]) + 1 == (1 << 20) + more
        assert names(verify(log.write(tmp_path / "log"))) == [("malformed", 2)] * more


LOST = text_of({"n": 2, "prev": NOTHING, "ts": 1, "kind": "lost", "reason": 'a"b', "count": 1})


@pytest.mark.parametrize(
    "line",
    [
        LOST.replace(b'"kind"', b'\\\\"kind"'),
        LOST.replace(b'"kind"', b'\\"kind"'),
        LOST.replace(b'{"count"', b'{\\\\"count"'),
        LOST[:-1] + b",}",
        LOST[:-1] + b"]",
        LOST + b"}",
        LOST.replace(b"lost", b"lo\\u0073t"),
        LOST.replace(b':1,"kind', b':01,"kind'),
        LOST.replace(b':1,"kind', b':-0,"kind'),
        LOST.replace(b':1,"kind', b':9007199254740992,"kind'),
        LOST.replace(b"a\\", b"\xc3("),
        LOST.replace(b"a\\", b"\\u00e9\\"),
        LOST.replace(b"a\\", b"\\/\\"),
        LOST.replace(b"a\\", b"\x1f\\"),
        LOST.replace(b"a\\", b"\\u000A\\"),
        LOST.replace(b'"count":1,', b'"count":1,"count":1,'),
    ],
)
def test_the_short_way_takes_none_of_these(line: bytes) -> None:
    assert quick(LOST) is not None
    assert line != LOST
    assert quick(line) is None
    with pytest.raises(Malformed):
        record_of(line)


def test_a_record_the_log_is_held_together_by_lacks_nothing(tmp_path: Path) -> None:
    log = made(60, every=13, segments=2)
    log.cut(2)
    for kind in STRUCTURAL:
        lines = made(60, every=13).lines + log.lines
        record = json.loads(next(line for line in lines if b'"kind":"%s"' % kind.encode() in line))
        assert record["kind"] == kind
        for name in TYPES[kind]:
            if not name.endswith("?"):
                with pytest.raises(Malformed):
                    record_of(text_of({member: value for member, value in record.items() if member != name}))


def test_what_is_not_known_is_ignored(tmp_path: Path) -> None:
    log = Log()
    log.add("unheard-of", some={"inner": [1, None, True, {"a": "é"}], "large": -(2**53 - 1)}, more="x")
    log.add("lost", count=1, since=1, until=2, reason="busy", unknown="member")
    log.checkpoint(unknown="signed too")
    assert verify(log.write(tmp_path / "log")).verdict == "intact"


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_a_member_of_the_wrong_type(tmp_path: Path, kind: str) -> None:
    for name, wanted in TYPES[kind].items():
        member = name.removesuffix("?")
        if member in ("n", "prev", "ts", "kind"):
            continue
        wrong: Any = "text" if wanted in ("int", "strs", "object", "objects") else 5
        log = Log()
        if kind in STRUCTURAL:
            log.segment()
            members = {key.removesuffix("?"): json.loads(log.lines[0]).get(key, 1) for key in TYPES[kind]}
            with pytest.raises(Malformed):
                record_of(text_of({**members, "n": 2, "prev": NOTHING, "ts": 1, "kind": kind, member: wrong}))
        else:
            log.add(kind, **{member: wrong})
            log.checkpoint()
            assert names(verify(log.write(tmp_path / "log"))) == [("malformed", 2)], member


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(['"', "\\", "\x1f", '\\"'])


def values() -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | st.integers(-(2**53 - 1), 2**53 - 1) | texts()
    keys = st.from_regex(r"[a-z][a-z0-9_]{0,4}", fullmatch=True)
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


MEMBER = {"int": st.integers(-(2**53 - 1), 2**53 - 1), "str": texts(), "strs": st.lists(texts(), max_size=3)}


@st.composite
def records(draw: Callable[..., Any]) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(ORDINARY)))
    record = {"n": draw(st.integers(1, 2**53 - 1)), "prev": draw(st.integers(0, 2**256 - 1)).to_bytes(32, "big").hex()}
    record.update(ts=draw(MEMBER["int"]), kind=kind)
    for name, wanted in TYPES[kind].items():
        if name not in record and draw(st.booleans()):
            record[name] = draw(MEMBER.get(wanted, values()))
    if draw(st.integers(0, 5)) == 0:
        record["unknown_member"] = draw(values())
    return record


def compared(record: dict[str, Any]) -> None:
    """Writer's and verifier's encodings are the same; the short way never says what the long way does not."""
    line = text_of(record)
    try:
        assert decode(line) == record
        assert encode(record) == line
    except Malformed as error:
        raise AssertionError(f"{line!r} {error}") from error
    short = quick(line)
    if short is not None:
        assert record_of(line) == record
        assert short == (str(record["n"]), record["prev"])
    elif "unknown_member" not in record and record["kind"] != "refusals" and record["n"] < 10**15:
        assert max(map(abs, [v for v in record.values() if type(v) is int])) >= 9 * 10**15 or min(
            [v for v in record.values() if type(v) is int]
        ) <= -(10**15)


@settings(deadline=None)
@given(records())
@example({"n": 1, "prev": NOTHING, "ts": 1, "kind": "lost", "reason": '\\\\"\\\n\x00\x7f\u2028😀/'})
def test_o12_what_is_written_is_read_as_the_same(record: dict[str, Any]) -> None:
    compared(record)


LETTERS = '"\\/\x00\x01\x08\t\n\x0b\x0c\r\x1f\x7f\x80é\u2028\ufeff\uffff😀az 0'


def any_record(chance: random.Random) -> dict[str, Any]:
    """As ``records``, many times faster."""
    kind = chance.choice(sorted(ORDINARY))
    record: dict[str, Any] = {
        "n": chance.randrange(1, 1 << chance.randrange(1, 50)),
        "prev": chance.randbytes(32).hex(),
    }
    record.update(ts=chance.randrange(1 << 52), kind=kind)

    def text() -> str:
        return "".join(chance.choices(LETTERS, k=chance.randrange(9)))

    for name, wanted in TYPES[kind].items():
        if name not in record and chance.random() < 0.6:
            if wanted == "int":
                record[name] = chance.randrange(-(1 << 40), 1 << chance.randrange(1, 53))
            elif wanted == "str":
                record[name] = text()
            else:
                record[name] = [text() if wanted == "strs" else {"a": text()} for _ in range(chance.randrange(3))]
    return record


def many(count: int) -> int:
    chance, short = random.Random(SEED), 0
    for _ in range(count):
        record = any_record(chance)
        compared(record)
        short += quick(text_of(record)) is not None
    return short


def test_o12_generated_records_are_encoded_equally(figure: Figure) -> None:
    assert many(3_000) > 2_000
    figure("records", 3_000)


@pytest.mark.heavy
def test_o12_a_hundred_thousand_generated_records_are_encoded_equally(figure: Figure) -> None:
    assert many(100_000) > 70_000
    figure("records", 100_000)


def test_o12_changed_bytes_are_not_taken_the_short_way() -> None:
    """What the one expression accepts, decoding and encoding accepts too: over lines with any byte changed."""
    chance = random.Random(SEED)
    taken = 0
    for _ in range(4_000):
        line = bytearray(text_of(any_record(chance)))
        line[chance.randrange(len(line))] = chance.choice(b'"\\{}[],:0aA\x00\n\x7f\xc3\xff -.eu')
        short = quick(bytes(line))
        if short is not None:
            record = record_of(bytes(line))
            assert (str(record["n"]), record["prev"]) == short
            taken += 1
    assert taken > 100


def test_a_segment_of_any_records_is_read_alike_by_the_short_and_the_long_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = made(200, every=20)
    for number in range(5):
        intent(log, f"more-{number}", random.Random(number), chain=["rpc", "cli"])
        outcome(log, f"more-{number}", log.size)
    log.write(tmp_path / "log")
    short = verify(tmp_path / "log")
    monkeypatch.setattr(verifier, "quick", lambda line: None)
    assert verify(tmp_path / "log") == short
