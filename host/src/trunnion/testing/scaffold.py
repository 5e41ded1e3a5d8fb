"""Writing the beginning of a plugin: a distribution that can be installed and passes its own tests."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from string import Template

from trunnion._version import VERSION
from trunnion.config.host_settings import HOST_SETTINGS
from trunnion.model.errors import Conflict, InvalidArguments, Unavailable
from trunnion.model.names import is_segment, to_segment

FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "src/$package/__init__.py": "init.py",
    "src/$package/plugin.py": "plugin.py",
    "src/$package/greeter.py": "greeter.py",
    "src/$package/py.typed": "",
    "tests/test_$package.py": "test_plugin.py",
}
"""What is written, and the template each file is made of; none for an empty file."""

TAKEN = frozenset({*HOST_SETTINGS, *sys.stdlib_module_names, "app", "host", "trunnion"})
_name = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")


def write_plugin(name: str, folder: Path) -> Path:
    """Write a distribution with one plugin.

    Args:
        name: words of a-z and 0-9, with ``-`` or ``_`` between them: the distribution gets it with ``-``, plugin and
            package with ``_``.
        folder: where its own folder is made.

    Returns:
        Its own folder.

    Raises:
        InvalidArguments: no plugin can have this name; the message shows the nearest that could.
        Conflict: there is something of this name in the folder; it stays as it is.
        Unavailable: the folder cannot be written to.
    """
    words = _words(name)
    target = folder / words["distribution"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.mkdir()
    except FileExistsError:
        raise Conflict(f"{target} is there already, and nothing is overwritten: choose another name or --dir") from None
    except OSError as error:
        raise Unavailable(f"{target} cannot be made: {error.strerror}") from error
    try:
        for path, template in FILES.items():
            _write(target / Template(path).substitute(words), template, words)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise Unavailable(f"{target} cannot be written: {error.strerror}") from error
    return target


def _words(name: str) -> dict[str, str]:
    """What stands for what in the templates."""
    package = name.replace("-", "_")
    if not _name.fullmatch(name) or not is_segment(name):
        raise InvalidArguments(f"{name!r} cannot be the name of a plugin{_could_be(name)}")
    if package in TAKEN or keyword.iskeyword(package):
        raise InvalidArguments(f"{name!r} cannot be the name of a plugin: Python or the host has it; try {name}_plugin")
    major, minor, _ = VERSION.split(".", 2)
    return {
        "package": package,
        "distribution": name.replace("_", "-"),
        "title": package.replace("_", " ").capitalize(),
        "host_range": f">={major}.{minor},<{major}.{int(minor) + 1}",
    }


def _could_be(name: str) -> str:
    """The nearest spelling that is a name, if there is one."""
    try:
        mapped = re.sub(r"[-_]+", "_", to_segment(name))
    except ValueError as error:
        return f": {error}"
    return f": it could be {mapped!r}"


def _write(path: Path, template: str, words: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = files("trunnion.testing").joinpath("template", f"{template}.txt").read_text("utf-8") if template else ""
    path.write_text(Template(text).substitute(words), encoding="utf-8")
