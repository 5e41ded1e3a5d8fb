"""What is said before the subcommand, and how a subcommand gets at it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import click

from trunnion.launcher.screen import Screen

F = TypeVar("F", bound=Callable[..., object])
JSON_KEY = "trunnion.json"
BY_UP = "trunnion.up"
"""A key of click's ``meta``, true for the subcommand ``shell`` when ``trunnion up`` hands over to it: it is to start a
host behind it, and to fail where one runs already."""


class Options(NamedTuple):
    """The global options, as given; paths as text, since a mere ``--help`` does without ``pathlib``.

    Attributes:
        only, without: plugin ids.
        set: ``key=value`` pairs over the configuration.
        debug: show tracebacks of defects.
        connect: the URL or the name of a host elsewhere, which is then the one that is meant.
        token_file, ca, cert, key: what is shown to it, and by what it is known.
    """

    config: str | None = None
    data_dir: str | None = None
    only: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    plugin_dirs: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    safe_mode: bool = False
    strict: bool = False
    debug: bool = False
    connect: str | None = None
    token_file: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    @property
    def to_reach(self) -> str:
        """The options by which another terminal finds the same host, followed by a blank; ``""`` for none."""
        given = [("--config", self.config), ("--data-dir", self.data_dir), ("--connect", self.connect), *self.shown]
        return "".join(f"{option} {shlex.quote(value)} " for option, value in given if value)

    @property
    def shown(self) -> list[tuple[str, str | None]]:
        """The options that say what is shown to a host elsewhere, and by what it is known."""
        files = {"--token-file": self.token_file, "--ca": self.ca, "--cert": self.cert, "--key": self.key}
        return list(files.items())

    @property
    def words(self) -> list[str]:
        """The same options as words of a command line, for another process of this program."""
        valued = [("--config", self.config), ("--data-dir", self.data_dir), ("--connect", self.connect), *self.shown]
        if self.only is not None:
            valued.append(("--only", ",".join(self.only)))
        valued.append(("--without", ",".join(self.without) or None))
        valued += [("--plugin-dir", folder) for folder in self.plugin_dirs]
        valued += [("--set", pair) for pair in self.set]
        flags = {"--safe-mode": self.safe_mode, "--strict": self.strict, "--debug": self.debug}
        given = [f"{option}={value}" for option, value in valued if value is not None]
        return given + [flag for flag, is_given in flags.items() if is_given]

    @property
    def for_start(self) -> list[str]:
        """Those given that only a host that is starting can take into account."""
        given = {
            "--only": self.only is not None,
            "--without": bool(self.without),
            "--plugin-dir": bool(self.plugin_dirs),
            "--set": bool(self.set),
            "--safe-mode": self.safe_mode,
        }
        return [name for name, is_given in given.items() if is_given]


def names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """``a,b`` as a tuple; None when the option was not given."""
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


def not_empty(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse ``""``, which is what an unset variable of a shell becomes, rather than use some other place."""
    if value == "":
        wanted = "URL" if parameter.name == "connect" else "path"
        raise click.BadParameter(f"expected a {wanted}, got an empty text")
    return value


def json_option(function: F) -> F:
    """Give a subcommand ``--json``; ``screen_of`` knows whether it was used."""

    def remember(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            context.find_root().meta[JSON_KEY] = True

    option = click.option(
        "--json", is_flag=True, is_eager=True, expose_value=False, callback=remember, help="Standard output is JSON."
    )
    return option(function)


def screen_of(context: click.Context) -> Screen:
    """The streams, in the form this call of the program wants."""
    return Screen(as_json=bool(context.find_root().meta.get(JSON_KEY)))


def options_of(context: click.Context) -> Options:
    """The global options of this call of the program, known as soon as they are parsed."""
    given = context.find_root().params
    return Options(**{name: given[name] for name in Options._fields if given.get(name) is not None})


def refuse_misplaced(context: click.Context, name: str, *, elsewhere: bool) -> None:
    """Refuse options that would have no effect, and with ``--connect`` subcommands that are about this machine.

    Args:
        context: of the whole call.
        name: of the subcommand.
        elsewhere: whether it can be about a host elsewhere.

    Raises:
        click.UsageError: there is one.
    """
    options = options_of(context)
    shown = [option for option, value in options.shown if value is not None]
    if options.connect is None:
        if shown:
            raise click.UsageError(f"{', '.join(shown)} concerns a host elsewhere: give --connect too", context)
        return
    if not elsewhere:
        raise click.UsageError(f"{name} is about this machine: leave --connect out", context)
    idle = [*(["--data-dir"] if options.data_dir is not None else []), *options.for_start]
    if idle:
        verb = "has" if len(idle) == 1 else "have"
        raise click.UsageError(f"--connect is about a host elsewhere, so {', '.join(idle)} {verb} no effect", context)
