"""perf-tty: from Enter to output, lines shown while keys are typed, and how soon a shell is there."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from bench.harness import Effort
from bench.hosting import scratch
from bench.result import Line, Result, amount, rate, times
from bench.rows.start import Start, compile_all, race_starts
from bench.shells import COMPLETER, EMPTY, PRINTER, PROMPT, WRITER, Ground, grounds
from bench.terminals import KILL_LINE, Terminal
from bench.typists import DRAWN, Flood, Said, Typing, Typist, in_turn, ready

ROW = "perf-tty"
ENTER_TARGET, ECHO_TARGET, LINE_TARGET, READY_TARGET = 5.0, 50.0, 10.0, 400.0
"""Milliseconds from Enter to output, and from a key to its echo; microseconds of a line; milliseconds to the prompt."""

ENTER_RATIO, MENU_RATIO, READY_RATIO = 3.0, 3.0, 2.0
"""How many times as long as a bare prompt it may take."""

MANY = 1000
"""Commands of which a menu is made."""

MARKED = b"\x1b[0m line "
"""Stands in each line of a run in the background: its tag is coloured."""


def measure(effort: Effort) -> Result:
    """Shells in terminals whose output is read as it comes, beside bare programs in others."""
    result = Result(
        notes=[
            "Shells in real terminals, on a host of their own; what they write is read as bytes, host and shell count "
            "together. Ceiling of a line, of a menu and of the start: a bare `PromptSession`, which says each line "
            "again. Ceilings of output: `os.write` of the same lines to a terminal, and `print` under prompt_toolkit's "
            f"`patch_stdout`; {effort.shown_lines:,} lines at a time (`--full`: a million). Printed: one by one, by a "
            "handler in a thread. Stored: `jobs follow` of a run that has ended. While lines come, a key is typed "
            "every 10 ms, or once the last is shown; at the end of each round the shell runs a line as before."
        ]
    )
    many = min(MANY, effort.commands[-1])
    compile_all()
    with scratch() as folder, grounds(folder, many) as (ground, crowded):
        result.lines += _starts(ground, effort)
        with ready(ground.shell()) as shell:
            result.lines += _output(ground, shell, effort)
            result.lines += _lines(ground, shell, effort)
        result.lines += _menus(crowded, many, effort)
    return result


def _lines(ground: Ground, shell: Terminal, effort: Effort) -> Iterator[Line]:
    """From Enter to the end of a command that does nothing, and to what another one prints."""
    with ready(ground.bare(PROMPT)) as prompt, ready(ground.bash(), b"# ") as bash:
        both = (shell.pid, ground.pid)
        noop = Typist(shell, _line("bench.noop", "succeeded after"), both)
        say = Typist(shell, _line("bench.say w{0}", "said w{0}\r\n"), both)
        bare = Typist(prompt, _line("w{0}", "said w{0}\r\n"), (prompt.pid,))
        system = Typist(bash, _line("echo said w{0}", "\rsaid w{0}\r\n"), (bash.pid,))
        ended, said, ceiling, _ = in_turn([noop, say, bare, system], effort)
    yield times(ROW, "Enter to the end of a no-op", "line", (ended, ceiling), at_most=ENTER_RATIO)
    yield times(ROW, "Enter to what is printed", "line", (said, ceiling), at_most=ENTER_RATIO)
    yield from _spread("Enter to the end of a no-op", noop.walls, p50=ENTER_TARGET)
    yield from _spread("Enter to what is printed", say.walls, p50=ENTER_TARGET)
    yield from _spread("Enter, bare prompt", bare.walls)
    yield from _spread("Enter, bash", system.walls)


def _line(line: str, mark: str) -> Callable[[int], Said]:
    return lambda number: Said(line.format(number).encode(), b"\r", mark.format(number).encode())


def _menus(ground: Ground, many: int, effort: Effort) -> Iterator[Line]:
    """From a key to the menu it opens."""
    with ready(ground.shell()) as shell, ready(ground.bare(COMPLETER.replace("OTHERS", str(many)))) as prompt:
        ours = Typist(shell, _opening, (shell.pid,), clear=True)
        bare = Typist(prompt, _opening, (prompt.pid,), clear=True)
        mine, ceiling = in_turn([ours, bare], effort)
    yield times(ROW, f"key to a menu, {many:,} commands", "key", (mine, ceiling), at_most=MENU_RATIO)
    yield from _spread(f"key to a menu, {many:,} commands", ours.walls, p99=ECHO_TARGET)
    yield from _spread("key to a menu, bare prompt", bare.walls)


def _opening(_: int) -> Said:
    return Said(b"", KILL_LINE + b"i", b"item0")


def _starts(ground: Ground, effort: Effort) -> Iterator[Line]:
    """From exec to a prompt on the screen."""
    ours, ceiling = race_starts(_until_drawn(ground.shell), _until_drawn(lambda: ground.bare(EMPTY)), effort)
    yield times(ROW, "shell, ready", "start", (ours, ceiling), at_most=READY_RATIO)
    yield amount(ROW, "shell, ready", ours.median * 1e3, "ms", at_most=READY_TARGET)


def _until_drawn(opened: Callable[[], Terminal]) -> Start:
    def start() -> tuple[float, float]:
        began = time.perf_counter()
        with opened() as terminal:
            terminal.until(DRAWN)
            return time.perf_counter() - began, terminal.cpu

    return start


def _output(ground: Ground, shell: Terminal, effort: Effort) -> Iterator[Line]:
    """Lines in the foreground with nobody typing, then in the background while somebody is."""
    with ground.bare(WRITER) as writer, ready(ground.bare(PRINTER)) as printer:
        yield from _shown(ground, shell, writer, printer, effort)
        yield from _typing(shell, printer, effort)


def _shown(ground: Ground, shell: Terminal, writer: Terminal, printer: Terminal, effort: Effort) -> Iterator[Line]:
    count, both, end = effort.shown_lines, (shell.pid, ground.pid), b"succeeded after"
    floods = {
        "printed": Flood(shell, f"bench.flood {count}", end, both),
        "in blocks": Flood(shell, f"bench.pour {count}", end, both),
        "stored": Flood(shell, "jobs follow 1", end, both),
        "patch_stdout": Flood(printer, str(count), b"succeeded\r\n", (printer.pid,)),
        "os.write": Flood(writer, str(count), b"succeeded\r\n", (writer.pid,), enter=b"\n"),
    }
    for number in range(1 + effort.rounds):
        for flood in floods.values() if number % 2 == 0 else reversed(floods.values()):
            flood.once()
    figures = {name: flood.figure(count) for name, flood in floods.items()}
    for name in ("printed", "in blocks", "stored"):
        yield rate(ROW, f"lines {name}, beside patch_stdout", "line", (figures[name], figures["patch_stdout"]))
    yield rate(ROW, "lines stored, beside os.write", "line", (figures["stored"], figures["os.write"]))
    for name in ("printed", "in blocks", "stored"):
        yield amount(ROW, f"a line {name}", figures[name].median * 1e6, "µs", at_most=LINE_TARGET)


def _typing(shell: Terminal, printer: Terminal, effort: Effort) -> Iterator[Line]:
    count = effort.shown_lines
    ours, bare = Typing(shell, MARKED), Typing(printer, b"line ")
    for _ in range(effort.rounds):
        ours.into(f"bench.flood {count} &", b"bench.flood succeeded", b"bench.say ")
        _still_runs(shell)
        bare.into(str(count), b"succeeded\r\n", b"")
        printer.press(KILL_LINE)
        printer.settle()
    each, shown = statistics.median(ours.seconds) / count, ours.shown / (count * effort.rounds)
    yield amount(ROW, "a line while keys are typed", each * 1e6, "µs", at_most=LINE_TARGET)
    yield amount(ROW, "of these lines shown", shown * 100, "%")
    yield amount(ROW, "a line while keys are typed, patch_stdout", statistics.median(bare.seconds) / count * 1e6, "µs")
    yield from _spread("key to its echo amid lines", ours.echoes, p99=ECHO_TARGET)
    yield from _spread("key to its echo amid lines, patch_stdout", bare.echoes)


def _still_runs(shell: Terminal) -> None:
    shell.type(KILL_LINE + b"bench.say alive")
    shell.press(b"\r")
    shell.until(b"said alive\r\n")
    shell.settle()


def _spread(case: str, walls: Sequence[float], p50: float | None = None, p99: float | None = None) -> Iterator[Line]:
    """The middle of all that were measured, and what only one in a hundred exceeds; milliseconds."""
    in_order = sorted(walls)
    for name, share, target in (("p50", 0.5, p50), ("p99", 0.99, p99)):
        value = in_order[math.ceil(share * len(in_order)) - 1]
        yield amount(ROW, f"{case}, {name}", value * 1e3, "ms", at_most=target)
