"""Q6: what is said as JSON, as words or as a line is the same, whatever is in it and however it is quoted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_kit import KINDS, NASTY, Made, Typed, arguments, commands, typed, words

from trunnion.arguments import split_line
from trunnion_tty import lines
from trunnion_tty.lines import statements, to_line
from trunnion_tty.reading import read

CALLS = 10
"""Calls of each command that is made up."""


def argv_of(said: list[Typed], made: Made) -> list[str]:
    """The words as a door that knows no ``name=value`` takes them."""
    options = made.compiled.options
    named = {**{option: option for option in options.values()}, **options}
    return [f"--{named[word.named]}={word.text}" if word.named else word.text for word in said]


def there_and_back(made: Made, data: st.DataObject) -> int:
    """JSON to words to a line, to words and to JSON again; and a line in anybody's quoting. Returns how many lines."""
    place, parameters = made.place, made.compiled
    entry = place.catalog.get(made.id)
    assert entry is not None
    for _ in range(CALLS):
        args = data.draw(arguments(made))
        said = data.draw(words(made, args))
        argv = argv_of(said, made)
        assert parameters.parse(argv) == args
        made_line = to_line(made.id, argv, entry.options)
        assert split_line(made_line) == [made.id, *argv], "the host reads it as other words"
        for line in (made_line, data.draw(typed(made, said))):
            (statement,) = statements(line)
            found = read(statement, place)
            assert found.argv == argv, line
            assert found.parameters is not None
            assert found.parameters.parse(found.argv) == args
    return 2 * CALLS


def examples(rounds: int) -> int:
    """Few in CI; with the usual rounds of the matrix, a hundred thousand lines and more."""
    return rounds if rounds <= 20 else 25 * rounds


def test_q6_lines_words_and_json_are_the_same(rounds: int, figure: Callable[..., None]) -> None:
    lines_read = 0

    @settings(max_examples=examples(rounds), suppress_health_check=list(HealthCheck))
    @given(commands(), st.data())
    def every(made: Made, data: st.DataObject) -> None:
        nonlocal lines_read
        lines_read += there_and_back(made, data)

    every()
    figure("lines read back", lines_read)
    figure("that meant something else", 0)


SEND = Made("made.up", {"host": KINDS["text"], "n": KINDS["texts"]}, ("host", "n"), (), frozenset())


def misread(texts: Sequence[str]) -> list[str]:
    """The texts that are something else once they were part of a line."""
    return [text for text in texts if not _comes_back([text]) or not _comes_back(["--host", text])]


def _comes_back(argv: list[str]) -> bool:
    entry = SEND.place.catalog.get(SEND.id)
    assert entry is not None
    read_back = [read(line, SEND.place).argv for line in statements(to_line(SEND.id, argv, entry.options))]
    return read_back == [argv]


def test_q6_without_the_fault_plain_words_need_no_quotes() -> None:
    entry = SEND.place.catalog.get(SEND.id)
    assert entry is not None
    assert to_line(SEND.id, ["--host", "plc1", "a", "b"], entry.options) == "made.up --host plc1 a b"
    assert misread(["plc1", "a", "b2"]) == []


def test_q6_without_the_defence_lines_mean_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert misread(NASTY) == []
    with monkeypatch.context() as patch:
        patch.setattr(lines, "quoted", lambda word, _: word)
        assert {"", "a b", "it's", "\\", "a\nb", "&"} <= set(misread(NASTY))
    with monkeypatch.context() as patch:  # what passes for name=value is not quoted
        patch.setattr(lines, "quoted", lambda word, _: lines.join_line([word]))
        assert misread(NASTY) == ["n=1"]
    with monkeypatch.context() as patch:  # an option is not known to take the next word
        patch.setattr(lines, "quoted", lambda word, _: lines.join_line([word]))
        assert _comes_back(["--host", "n=1"])
        patch.setattr(lines.Options, "free", lambda self, words: [True for _ in words])
        assert not _comes_back(["--host", "n=1"])
