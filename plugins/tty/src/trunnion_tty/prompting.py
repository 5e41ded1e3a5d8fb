"""The line being typed: prompt_toolkit with the shell's completion, checks, history and keys.

The terminal is never asked where its cursor is: not all answer, and an answer that is late would be waited for after
Enter. So the bar stands right below the line, not at the bottom of the screen.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Protocol, TextIO, cast

from prompt_toolkit.application import Application
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.buffer import Buffer, ValidationState
from prompt_toolkit.data_structures import Size
from prompt_toolkit.filters import Condition, has_validation_error, is_done
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import create_input
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import ConditionalContainer, Dimension, HSplit, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import PromptSession
from prompt_toolkit.styles import BaseStyle

from trunnion.rendering import clipped, wrapped
from trunnion_tty.completer import LineCompleter, Values
from trunnion_tty.history import HistoryFile
from trunnion_tty.look import CONTINUES, done_line
from trunnion_tty.reading import Place, goes_on
from trunnion_tty.terminal_out import TerminalOut
from trunnion_tty.unseen import ShowUnseen
from trunnion_tty.validator import LineValidator

LONGEST = 64 << 10
"""Characters of a line; more belongs in a file, for ``source`` or as an argument that names it."""

BURST = 0.05
"""Seconds without a key after which what was pasted is over: an Enter before that is part of it."""

MANY = 500
"""Characters in one piece that nobody types."""

TOLD_AFTER = 0.3
"""Seconds after which what was refused is told, with how much it was."""

MENU_LINES = 8

FAULT_LINES = 4
"""Lines that are taken at most to say what is wrong with a line."""


class Surroundings(Protocol):
    """What the prompt has to know of the shell."""

    def place(self) -> Place:
        """Where lines are read."""

    def prompt(self) -> StyleAndTextTuples:
        """What stands before the line."""

    def toolbar(self) -> StyleAndTextTuples:
        """What stands below it."""

    def style(self) -> BaseStyle:
        """How all of it looks."""

    def columns(self) -> tuple[int, int]:
        """Rows and columns of the terminal."""

    def interrupted(self) -> None:
        """Take it that Ctrl-C was pressed when the line was done."""

    def pasted_too_much(self, size: int) -> None:
        """Say that what was pasted, of so many characters, is no line."""


class Prompt:
    """Asks for lines, one after the other; ``above`` lets others write meanwhile.

    Args:
        surroundings: the shell.
        values: finds values that queries offer.
        history: earlier lines.
        stdin, out: the terminal.
        colours: whether colours may be used.
    """

    def __init__(
        self, surroundings: Surroundings, values: Values, history: HistoryFile, stdin: TextIO, out: TerminalOut,
        *, colours: bool,
    ) -> None:  # fmt: skip
        self._around = surroundings
        self._out = out
        self._lull: asyncio.TimerHandle | None = None
        self._refused = 0
        self._session: PromptSession[str] = PromptSession(
            message=surroundings.prompt,
            multiline=Condition(self._goes_on),
            prompt_continuation=_continuation,
            completer=LineCompleter(surroundings.place, values),
            complete_while_typing=Condition(lambda: 0 < len(self._buffer.text) <= LONGEST >> 4),
            validator=LineValidator(surroundings.place),
            validate_while_typing=Condition(lambda: 0 < len(self._buffer.text) <= LONGEST >> 4),
            auto_suggest=AutoSuggestFromHistory(),
            search_ignore_case=True,
            history=history,
            input_processors=[ShowUnseen()],
            key_bindings=self._keys(),
            style=None,
            enable_suspend=True,
            reserve_space_for_menu=MENU_LINES,
            refresh_interval=0.5,
            input=create_input(stdin),
            output=Vt100_Output(
                cast(TextIO, out),
                self._size,
                default_color_depth=None if colours else ColorDepth.DEPTH_1_BIT,
                enable_cpr=False,
            ),
        )
        self._apps = [self._session.app]
        self.app.erase_when_done = True
        self.app.before_render += self._fit
        self._add_toolbars()

    @property
    def app(self) -> Application[str]:
        """The application that is running while something is asked for."""
        return self._apps[-1]

    @property
    def typed(self) -> str:
        """What stands before the cursor; nothing of what is too long to look at."""
        text = self._buffer.document.text_before_cursor
        return text if len(text) <= LONGEST >> 4 else ""

    @property
    def asking(self) -> bool:
        """Whether somebody is being asked for a line just now."""
        return self.app.is_running

    async def ask(self, default: str = "") -> str:
        """One line, or several that belong together.

        Raises:
            EOFError: Ctrl-D in an empty line, or the terminal is gone.
        """
        self._session.style = self._around.style()
        self._drop_ends()
        try:
            line = await self._session.prompt_async(default=default, handle_sigint=False)
        finally:
            self._leave()
        self._take_late_keys()
        return line

    def _leave(self) -> None:
        """Put the line, which was taken away, where it stays: as text, which costs a tenth of drawing it once more."""
        style = self._session.style or self._around.style()
        self._out.write(done_line(self._buffer.text, self._around.prompt(), style, self.app.color_depth))
        self._out.release()

    async def plain(self, question: str) -> str:
        """An answer that is no line: nothing is offered or remembered.

        Raises:
            EOFError: there is none.
        """
        return await self._answer(question, is_password=False)

    async def hidden(self, question: str) -> str:
        """An answer that nobody sees.

        Raises:
            EOFError: there is none.
        """
        return await self._answer(question, is_password=True)

    async def _answer(self, question: str, *, is_password: bool) -> str:
        keys = KeyBindings()
        keys.add("c-c")(lambda event: event.app.exit(exception=EOFError()))
        session: PromptSession[str] = PromptSession(
            question, is_password=is_password, key_bindings=keys, enable_suspend=True,
            input=self._session.input, output=self._session.output,
        )  # fmt: skip
        self._apps.append(session.app)
        try:
            answer = await session.prompt_async(handle_sigint=False)
        finally:
            self._apps.pop()
        self._take_late_keys()
        return answer

    def _take_late_keys(self) -> None:
        """Keys that came after Enter while the terminal still took Ctrl-C for one of them.

        It is the signal that was meant, and what stands before it is dropped, as terminals do it. The others are for
        the next line.
        """
        pressed = get_typeahead(self._session.input) + self._session.input.read_keys()
        names = [press.key for press in pressed]
        if Keys.ControlC in names:
            self._around.interrupted()
            pressed = pressed[len(names) - names[::-1].index(Keys.ControlC) :]
        store_typeahead(self._session.input, pressed)

    def _drop_ends(self) -> None:
        """Ctrl-D that was pressed while a run was waited for meant the run, if anything: it must not stop the host."""
        pressed = get_typeahead(self._session.input) + self._session.input.read_keys()
        store_typeahead(self._session.input, [press for press in pressed if press.key != Keys.ControlD])

    def clear(self) -> None:
        """Take away what is typed; the prompt stays."""
        self._buffer.reset()
        self.app.invalidate()

    @property
    def ready(self) -> bool:
        """See ``display.Above``."""
        return self.app.is_running and not self.app.is_done

    def above(self, text: str) -> None:
        """See ``display.Above``."""
        app = self.app
        if text:
            with self._out.at_once():
                app.renderer.erase(leave_alternate_screen=False)
                app.output.write_raw(text)
                (app.context or copy_context()).copy().run(app.renderer.render, app, app.layout)
        else:
            app.invalidate()

    @property
    def _buffer(self) -> Buffer:
        return self._session.default_buffer

    def _size(self) -> Size:
        rows, columns = self._around.columns()
        return Size(rows=rows, columns=columns)

    def _goes_on(self) -> bool:
        return goes_on(self._buffer.text, self._around.place())

    def _fit(self, _app: Application[str]) -> None:
        """A window of a few lines has room for a line first, and for a menu if there is more."""
        rows, _ = self._around.columns()
        self._session.reserve_space_for_menu = max(0, min(MENU_LINES, rows - FAULT_LINES - 1))

    def _fault(self) -> StyleAndTextTuples:
        """What is wrong with the line, folded between words."""
        error, (_, columns) = self._buffer.validation_error, self._around.columns()
        lines = wrapped(error.message, columns) if error is not None else []
        if len(lines) > FAULT_LINES:
            lines[FAULT_LINES - 1 :] = [clipped(" ".join(lines[FAULT_LINES - 1 :]), columns)]
        return [("class:validation-toolbar", "\n".join(lines))]

    def _add_toolbars(self) -> None:
        """What is wrong with the line, as many lines as that takes, in place of prompt_toolkit's one; and the bar."""
        root = self._session.layout.container
        assert isinstance(root, HSplit)
        fault = Window(
            FormattedTextControl(self._fault),
            height=Dimension(min=1, max=FAULT_LINES),
            dont_extend_height=True,
        )
        bar = Window(
            FormattedTextControl(self._around.toolbar),
            height=1,
            style="class:bar",
            dont_extend_height=True,
            wrap_lines=False,
        )
        root.children[1:2] = [ConditionalContainer(fault, filter=has_validation_error & ~is_done)]
        root.children.append(ConditionalContainer(bar, filter=~is_done))

    # -- keys -------------------------------------------------------------------------------------

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        searching = Condition(self._searching)
        is_several = Condition(lambda: any(map(_text_of, self.app.key_processor.input_queue)))
        is_full = Condition(lambda: len(self._buffer.text) >= LONGEST)
        keys.add("enter", filter=~searching)(self._enter)
        keys.add("escape", "enter")(self._new_line)
        keys.add("c-c")(self._interrupt)
        keys.add(Keys.BracketedPaste)(self._paste)
        keys.add(Keys.Any, filter=is_several & ~searching)(self._burst)
        keys.add(Keys.Any, filter=is_full & ~searching)(self._full)
        return keys

    def _searching(self) -> bool:
        return self._session.layout.is_searching

    def _enter(self, event: KeyPressEvent) -> None:
        if self._follow(event):
            self._burst(event)
        elif self._lull is not None:
            self._add_lines("\n")
        elif self._goes_on():
            self._insert("\n")
        else:
            self._buffer.validation_state = ValidationState.UNKNOWN
            self._buffer.validate_and_handle()
            if self.app.is_done:
                self._out.hold()  # until the line stands there again

    def _follow(self, event: KeyPressEvent) -> bool:
        """Whether keys came together with this one: nobody types that fast, so it was pasted."""
        return any(_text_of(press) for press in event.key_processor.input_queue)

    def _burst(self, event: KeyPressEvent) -> None:
        """Take what came together as one piece: key by key, a long one would be copied as often as it has keys.

        An Enter at its very end is left for ``_enter``, unless there are others in it.
        """
        queue, pieces = event.key_processor.input_queue, [_text_of(event.key_sequence[0])]
        while queue and (text := _text_of(queue[0])):
            if text == "\n" and len(queue) == 1 and "\n" not in pieces:
                break
            pieces.append(text)
            queue.popleft()
        self._add_lines("".join(pieces))

    def _add_lines(self, text: str) -> None:
        if "\n" in text or len(text) >= MANY or self._lull is not None:
            if self._lull is not None:
                self._lull.cancel()
            # A timer, not a time: however late this process is, keys that have come are read before the lull is one.
            self._lull = asyncio.get_running_loop().call_later(BURST, self._end_burst)
        self._insert(text)

    def _end_burst(self) -> None:
        self._lull = None

    def _new_line(self, _event: KeyPressEvent) -> None:
        self._insert("\n")

    def _interrupt(self, _event: KeyPressEvent) -> None:
        self.clear()

    def _paste(self, event: KeyPressEvent) -> None:
        self._insert(event.data.replace("\r\n", "\n").replace("\r", "\n"))

    def _full(self, _event: KeyPressEvent) -> None:
        self._refuse(1)

    def _insert(self, text: str) -> None:
        if len(self._buffer.text) + len(text) > LONGEST:
            self._refuse(len(text))
        else:
            self._buffer.insert_text(text)

    def _refuse(self, size: int) -> None:
        """What is too much is not taken; of a paste in many pieces that is said once."""
        if not self._refused:
            asyncio.get_running_loop().call_later(TOLD_AFTER, self._tell_refused)
        self._refused += size

    def _tell_refused(self) -> None:
        self._around.pasted_too_much(self._refused)
        self._refused = 0


def _continuation(_width: int, _line: int, wraps: int) -> str:
    """What stands before a further line; a line that is merely too long for the terminal has no more than itself."""
    return "" if wraps else CONTINUES


def _text_of(press: KeyPress) -> str:
    """What a key adds to a line; ``""`` for one that does something else."""
    if press.key in (Keys.ControlM, Keys.ControlJ):
        return "\n"
    plain = len(press.data) == 1 and press.key == press.data and press.data.isprintable()
    return press.data if plain else ""
