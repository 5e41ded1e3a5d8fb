"""Completion for prompt_toolkit: what the console itself offers first, then names, then what queries answer in time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from trunnion_tty.completing import Offer, Proposal, Question, offer, values
from trunnion_tty.lines import last_statement
from trunnion_tty.oneline import one_line
from trunnion_tty.reading import Place

LONGEST = 4096
"""Characters of a line beyond which nothing is offered."""


class Values(Protocol):
    """Finds values somebody else has to say."""

    async def answers(self, question: Question) -> list[tuple[str, str]]:
        """Values and what each is; none if they cannot be had in time."""

    async def here(self, line: str) -> list[tuple[str, str]]:
        """What the console itself offers to a line, beside the names of commands."""


class LineCompleter(Completer):
    """Offers what ``completing.offer`` finds.

    Args:
        place: where lines are read now.
        answers: finds values that queries offer.
    """

    def __init__(self, place: Callable[[], Place], answers: Values) -> None:
        self._place = place
        self._values = answers

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What is known without asking anybody."""
        line, offered = self._offer(document)
        return list(_completions(offered.proposals, line, document))

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """The same, behind what the console offers, and what has to be asked. A line typed on meanwhile cancels it."""
        if complete_event.text_inserted and not document.text.strip():
            return  # what was typed when this was asked for is gone by now, by Ctrl-C
        line, offered = self._offer(document)
        own = [Proposal(value, 0, about) for value, about in await self._values.here(line) if value.startswith(line)]
        for completion in _completions([*own, *offered.proposals], line, document):
            yield completion
        for question in offered.questions:
            found = values(question, await self._values.answers(question))
            for completion in _completions(found, line, document):
                yield completion

    def _offer(self, document: Document) -> tuple[str, Offer]:
        line = last_statement(document.text_before_cursor).line
        return line, offer(line, self._place(), here()) if len(line) <= LONGEST else Offer([], [])


def here() -> Path | None:
    """The folder the shell is in, None if it is gone."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def _completions(proposals: Iterable[Proposal], line: str, document: Document) -> Iterator[Completion]:
    """Proposals for prompt_toolkit, but for those that would replace a word which goes over several lines."""
    for proposal in proposals:
        if document.text_before_cursor.endswith(line[proposal.start :]):
            yield _completion(proposal, line)


def _completion(proposal: Proposal, line: str) -> Completion:
    shown, about = one_line(proposal.text), one_line(proposal.about)
    return Completion(proposal.text, proposal.start - len(line), display=shown, display_meta=about)
