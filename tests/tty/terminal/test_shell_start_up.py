"""A shell at its first prompt has imported nothing it does not need, and a line needs no judge of schemas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tty_kit.place import Place, Shell

PROGRAM = """
import asyncio, gc, os, sys
from trunnion.launcher.main import main
run = asyncio.run
def noted(shell):
    try:
        return run(shell)
    finally:
        with open(os.environ["IMPORTED"], "w") as file:
            print("\\n".join(sys.modules), file=file)
            print("collects" if gc.isenabled() else "does not collect", file=file)
            print("frozen" if gc.get_freeze_count() > 10_000 else "nothing frozen", file=file)
asyncio.run = noted
main()
"""

UNUSED = {
    "anyio",
    "cryptography",
    "email.message",
    "importlib.metadata",
    "jsonschema",
    "jsonschema_rs",
    "multiprocessing",
    "pygments.lexers",
    "referencing",
    "sqlite3",
    "trunnion.arguments.binding",
    "trunnion.arguments.parameters",
    "trunnion.builtin",
    "trunnion.host",
    "trunnion.kernel",
    "trunnion.protocol.connection",
    "trunnion.protocol.server",
    "trunnion.store.sqlite",
    "trunnion_tty.batch",
    "uvloop",
}
"""What nobody has asked for yet: each costs the start more than a row of its modules does."""

NEVER = {"jsonschema", "referencing", "sqlite3", "trunnion.host", "trunnion.kernel"}
"""What a shell does not need at all: the host has judged the schemas it tells of."""


@pytest.fixture
def imported(hosted: Place, tmp_path: Path) -> Callable[[Callable[[Shell], None]], set[str]]:
    """What a shell has imported by the time somebody leaves it who did just this."""

    def after(does: Callable[[Shell], None]) -> set[str]:
        path, config = tmp_path / "imported", tmp_path / "trunnion.toml"
        config.write_text(f'[host]\ndata_dir = "{hosted.data}"\n')  # with no section that would be judged first
        env = {"IMPORTED": str(path), "TRUNNION_CONFIG": str(config), "TRUNNION_PLUGINS": "tty"}
        env |= {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}  # what measures imports a good deal itself
        shell = hosted.shell(program=PROGRAM, env=env).ready()
        does(shell)
        shell.ready().key("c-d")
        assert shell.wait() == 0
        return set(path.read_text().split("\n"))

    return after


def test_a_shell_at_its_first_prompt_has_imported_nothing_it_does_not_need(
    imported: Callable[[Callable[[Shell], None]], set[str]],
) -> None:
    """Defence: late imports; ``trunnion.arguments`` imports a name when it is used, and verbs are compiled then."""
    modules = imported(lambda shell: None)
    assert {"prompt_toolkit", "trunnion_tty.prompting", "trunnion.protocol.client"} <= modules
    assert sorted(modules & UNUSED) == []


def test_the_collector_begins_behind_what_the_start_has_made(
    imported: Callable[[Callable[[Shell], None]], set[str]],
) -> None:
    """Defence: ``_settle`` in ``trunnion_tty.main``."""
    assert {"collects", "frozen"} <= imported(lambda shell: None)


def test_no_line_brings_the_judge_of_schemas(imported: Callable[[Callable[[Shell], None]], set[str]]) -> None:
    """Defence: ``judged`` in ``Entry.parameters``: importing it stops the prompt for a tenth of a second and more."""

    def use(shell: Shell) -> None:
        shell.do("help odd.hello")
        shell.do("odd.hello --name Ada --times 2")
        shell.do("odd.move bus")

    modules = imported(use)
    assert "trunnion.arguments.binding" in modules
    assert sorted(modules & NEVER) == []
