"""Which configuration and which data directory a call of the program is about."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trunnion.config.data_dir import DataDir
from trunnion.config.paths import default_data_dir, find_config

if TYPE_CHECKING:
    from trunnion.launcher.options import Options

KEY = "host.data_dir"
VARIABLE = "TRUNNION__HOST__DATA_DIR"


class Place(NamedTuple):
    """Where things are; ``config`` is None when there is no file."""

    config: Path | None
    data: DataDir


def locate(options: Options, environ: Mapping[str, str] = os.environ) -> Place:
    """Find both without loading anything; the stronger source wins: flag, ``--set``, environment, file, default.

    Raises:
        InvalidConfig: the file cannot be read, or may not be trusted.
    """
    config = Path(options.config) if options.config else find_config(environ, Path.cwd())
    overrides = dict(pair.partition("=")[::2] for pair in options.set)
    if options.data_dir is not None:
        root = Path(options.data_dir)
    elif named := overrides.get(KEY) or environ.get(VARIABLE) or _from_file(config):
        base = config.parent if config is not None else Path.cwd()
        root = base / Path(named).expanduser()
    else:
        root = default_data_dir(environ)
    return Place(config, DataDir(root.absolute()))


def _from_file(config: Path | None) -> str:
    if config is None:
        return ""
    from trunnion.config.toml_file import read_toml

    section = read_toml(config).table.get("host")
    named = section.get("data_dir") if isinstance(section, Mapping) else None
    return named if isinstance(named, str) else ""


def here() -> str | None:
    """The folder this process is in, None if it is gone."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return None
