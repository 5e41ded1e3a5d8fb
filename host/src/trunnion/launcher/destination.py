"""Which host elsewhere ``--connect`` is about, and what is shown to it: never anything from the command line itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trunnion.config.toml_file import read_toml
from trunnion.config.trust import refuse_shown_secret
from trunnion.model.errors import InvalidArguments, InvalidConfig, NotFound, Unavailable
from trunnion.model.names import nearest
from trunnion.protocol.clients import Destination

if TYPE_CHECKING:
    from trunnion.launcher.options import Options

VARIABLE = "TRUNNION_TOKEN"
FILE = "connections.toml"
"""Beside the user's own configuration: a table for each name."""

LONGEST = 16 << 10
"""Bytes of a token; a file may never end."""


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the file; paths are relative to it."""

    url: str
    token_file: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None


def destination(options: Options, environ: Mapping[str, str] = os.environ) -> Destination:
    """What ``--connect`` means. An option counts before what is written under a name, a file before the environment.

    Raises:
        NotFound: there is no such name.
        InvalidConfig: the file of names cannot be used.
        InvalidArguments: the token cannot be read, or can be by everybody.
    """
    asked = options.connect or ""
    named = Named(asked) if ":" in asked else _named(asked)
    token_file = options.token_file or named.token_file
    cert, key = options.cert or named.cert, options.key or named.key
    if (cert is None) != (key is None):
        raise InvalidArguments("a certificate is shown with its key: give both, --cert and --key, or neither")
    return Destination(
        url=named.url,
        token=_token_in(Path(token_file)) if token_file else _token_of(environ),
        ca=_path(options.ca or named.ca),
        cert=_path(cert),
        key=_path(key),
        server_name=named.server_name,
    )


def _path(text: str | None) -> Path | None:
    return Path(text).absolute() if text is not None else None


def _named(name: str) -> Named:
    path = names_file()
    table = read_toml(path).table if path.is_file() else {}
    if name not in table:
        close = nearest(name, list(table))
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise NotFound(
            f"--connect {name}: that is no URL such as grpcs://plant.example:50051, and {path} has no [{name}]{hint}",
            {"nearest": close},
        )
    try:
        found = msgspec.convert(table[name], Named)
    except msgspec.ValidationError as error:
        raise InvalidConfig(f"{path}: [{name}]: {error}") from None
    files = {field: getattr(found, field) for field in ("token_file", "ca", "cert", "key")}
    beside = {field: str(path.parent / Path(text).expanduser()) for field, text in files.items() if text is not None}
    return msgspec.structs.replace(found, **beside)


def names_file() -> Path:
    """Where the names of hosts elsewhere are."""
    import platformdirs

    return platformdirs.user_config_path("trunnion", appauthor=False) / FILE


def _token_in(path: Path) -> str:
    try:
        refuse_shown_secret(path, "the token")
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise Unavailable(f"the token in {path} cannot be read: {error.strerror}") from None
    return _usable(content.decode(errors="replace"), str(path))


def _token_of(environ: Mapping[str, str]) -> str | None:
    return _usable(environ[VARIABLE], f"${VARIABLE}") if VARIABLE in environ else None


def _usable(text: str, where: str) -> str:
    """A token as it is shown, without the line end behind it."""
    token = text.strip()
    if not token or len(token) > LONGEST or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidArguments(f"what {where} holds is no token: that is one word, as trunnion tokens create prints it")
    return token
