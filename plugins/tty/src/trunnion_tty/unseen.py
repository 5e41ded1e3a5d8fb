"""The line being typed, with nothing in it that only seems to be something else."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments

from trunnion.rendering import visible


class ShowUnseen(Processor):
    """Shows what turns the direction of text, and what nobody sees, as what it is: it may be pasted, or completed.

    Control characters are shown by prompt_toolkit itself.
    """

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """One line of the buffer, as it is to be seen."""
        fragments = transformation_input.fragments
        if all(text.isascii() for _, text, *_ in fragments):
            return Transformation(fragments)
        made: StyleAndTextTuples = []
        for style, char, *_ in explode_text_fragments(fragments):
            made.append((style, char if char.isascii() else visible(char)))
        begins = list(accumulate((len(text) for _, text, *_ in made), initial=0))

        def to_display(place: int) -> int:
            return begins[place] if place < len(begins) else begins[-1] + place - len(begins) + 1

        return Transformation(made, to_display, lambda place: bisect_right(begins, place) - 1)
