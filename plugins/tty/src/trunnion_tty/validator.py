"""Checks for prompt_toolkit: while a line is typed, and whole when it is done."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.document import Document
from prompt_toolkit.validation import ValidationError, Validator

from trunnion.rendering import visible
from trunnion_tty.checking import check
from trunnion_tty.lines import pieces, statements
from trunnion_tty.reading import Place


class LineValidator(Validator):
    """Says what ``checking.check`` finds in the first of several lines: one may change what the others meet.

    Args:
        place: where lines are read now.
    """

    def __init__(self, place: Callable[[], Place]) -> None:
        self._place = place

    def validate(self, document: Document) -> None:
        """Look at all there is, as it is about to be done.

        Raises:
            ValidationError: something is wrong.
        """
        for line in statements(document.text)[:1]:
            _tell(check(line, self._place(), whole=True), document)

    async def validate_async(self, document: Document) -> None:
        """Look at a line that is still being typed.

        Raises:
            ValidationError: something is wrong, whatever may still come.
        """
        *before, last = pieces(document.text)
        if document.is_cursor_at_the_end and not any(statements(piece.line) for piece in before):
            _tell(check(last.line, self._place(), whole=False), document)


def _tell(fault: str | None, document: Document) -> None:
    if fault is not None:
        raise ValidationError(len(document.text), visible(fault))
