"""What the line being typed looks like where there is more in it than is seen."""

from __future__ import annotations

import pytest
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.layout.controls import BufferControl
from prompt_toolkit.layout.processors import TransformationInput

from trunnion_tty.unseen import ShowUnseen


def shown(text: str) -> tuple[str, list[int], list[int]]:
    """A line as it is seen, where each place of it is seen, and the place each of those stands for."""
    control = BufferControl(Buffer())
    made = ShowUnseen().apply_transformation(
        TransformationInput(control, Document(text), 0, lambda place: place, [("", text)], 80, 24)
    )
    seen = "".join(part for _, part, *_ in made.fragments)
    to_display = [made.source_to_display(place) for place in range(len(text) + 2)]
    return seen, to_display, [made.display_to_source(place) for place in range(len(seen) + 1)]


@pytest.mark.parametrize("text", ["", "plain 'text'", "北京 é", "👩‍💻", "می‌خواهم"])
def test_what_is_what_it_seems_stays(text: str) -> None:
    seen, there, back = shown(text)
    assert seen == text
    assert there == list(range(len(text) + 2))
    assert back == list(range(len(text) + 1))


@pytest.mark.parametrize("char", ["\u202e", "\u200b", "\u2066", "\ufeff", "\u2028", "\U000e0041"])
def test_n3_what_only_seems_to_be_something_else_is_shown(char: str) -> None:
    """Defence: ``visible``; a value that was completed could be another than the one that is read."""
    seen, there, back = shown(f"a{char}b")
    mark = f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
    assert seen == f"a{mark}b"
    assert there == [0, 1, 1 + len(mark), 2 + len(mark), 3 + len(mark)]
    assert [back[place] for place in there[:4]] == [0, 1, 2, 3]
    assert set(back[1 : 1 + len(mark)]) == {1}
