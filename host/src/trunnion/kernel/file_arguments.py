"""File arguments: from a path, an upload or a kept file, as a caller names it, to the file a handler opens.

A path is for callers at this machine: their whole chain of doors is local, and the real path, links followed,
lies in one of ``bytes.roots``. Everybody else names ``upload:<id>`` or ``artifact:<id>``. It is judged when it is
asked for, so that the refusal is the same at every door, and again just before the handler starts, which is
given the real path: a link that was changed in between leads nowhere else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from typing import TypeAlias

from trunnion.access.policy import is_local
from trunnion.arguments import Bound, Parameters
from trunnion.arguments.problems import Problem, invalid, show
from trunnion.kernel.artifact_reading import Artifacts
from trunnion.kernel.uploads import Uploads
from trunnion.model.errors import NotFound
from trunnion.model.runs import Caller
from trunnion.model.uploads import ARTIFACT, UPLOAD

_Change: TypeAlias = Callable[[str], str]


class _Unfit(Exception):
    """Why a file cannot be used; the message is for the caller."""


class FileArguments:
    """Judges and resolves the files that arguments name.

    Args:
        uploads: finds ``upload:`` handles.
        artifacts: finds ``artifact:`` handles.
        roots: folders in which paths must lie; as the configuration has them.
    """

    def __init__(self, uploads: Uploads, artifacts: Artifacts, roots: Sequence[str]) -> None:
        self._uploads = uploads
        self._artifacts = artifacts
        self._roots = roots

    def settled(self, parameters: Parameters, bound: Bound, caller: Caller, cwd: str | None = None) -> Bound:
        """The arguments as they go on record: handles as they are, paths absolute. Touches no disk.

        Args:
            parameters: of the command or query.
            bound: its arguments.
            caller: whose whole chain of doors counts.
            cwd: where a local client is; what relative paths are relative to.

        Raises:
            InvalidArguments: a path from a remote caller, or one relative to nothing.
        """
        return self._each(parameters, bound, lambda value: _settled(value, caller, cwd))

    def located(self, parameters: Parameters, bound: Bound, caller: Caller) -> Bound:
        """The arguments as the handler gets them: real paths. From any thread; blocks on the disk.

        Raises:
            InvalidArguments: a file is outside the fence, is none, or is not the caller's to use.
            Unauthenticated: what proved the caller no longer does.
        """
        return self._each(parameters, bound, lambda value: self._located(value, caller))

    def uploads_in(self, parameters: Parameters, bound: Bound) -> list[str]:
        """Ids of the uploads that arguments name, each once."""
        found: dict[str, None] = {}

        def note(_: str, value: str) -> str:
            if value.startswith(UPLOAD):
                found[value.removeprefix(UPLOAD)] = None
            return value

        parameters.with_files(bound, note)
        return list(found)

    def _each(self, parameters: Parameters, bound: Bound, change: _Change) -> Bound:
        if not parameters.files:
            return bound

        def changed(name: str, value: str) -> str:
            try:
                return change(value)
            except _Unfit as error:
                prefix = "" if name in parameters.secret else f"{show(value)} "
                raise invalid([Problem(name, f"{prefix}{error}")]) from None

        return parameters.with_files(bound, changed)

    def _located(self, value: str, caller: Caller) -> str:
        try:
            if value.startswith(UPLOAD):
                return self._upload(value.removeprefix(UPLOAD), caller)
            if value.startswith(ARTIFACT):
                return str(self._artifacts.located(caller, value.removeprefix(ARTIFACT))[1])
        except NotFound:
            raise _Unfit("is not there, or is not yours to use") from None
        return real_path(value, self._roots)

    def _upload(self, upload_id: str, caller: Caller) -> str:
        info = self._uploads.found(caller, upload_id)
        if not info.finished:
            raise _Unfit(f"is not finished: {info.offset} bytes have arrived")
        return str(self._uploads.files.path(upload_id))


def _settled(value: str, caller: Caller, cwd: str | None) -> str:
    if value.startswith((UPLOAD, ARTIFACT)):
        return value
    remote = next((source for source in (*caller.chain, caller.source) if not is_local(source)), None)
    if remote is not None:
        raise _Unfit(f"is a path, which callers by {remote} may not name: upload the file and give upload:<id>")
    if not value or "\0" in value:
        raise _Unfit("is no path")
    if value.startswith("/"):
        return value
    if cwd is None or not cwd.startswith("/"):
        raise _Unfit("is relative, and the host cannot know to what: give an absolute path")
    return f"{cwd.rstrip('/')}/{value}"


def real_path(path: str, roots: Sequence[str]) -> str:
    """Where a path leads, links followed. What is not there yet is judged by the folder it would be made in.

    Raises:
        _Unfit: it leads out of the fence, in a circle, or to what is neither a file nor a folder.
    """
    real = os.path.realpath(path)
    try:
        mode = os.lstat(real).st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = stat.S_IFREG
    except OSError as error:
        raise _Unfit(f"cannot be used: {error.strerror}") from None
    if stat.S_ISLNK(mode):
        raise _Unfit("is a link that leads in a circle")
    if not any(_is_inside(real, os.path.realpath(root)) for root in roots):
        raise _Unfit("lies outside the folders of bytes.roots, where file arguments may lead")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _Unfit("is neither a file nor a folder: a pipe, device or socket cannot be an argument")
    return real


def _is_inside(real: str, root: str) -> bool:
    """By components: ``/srv/abc`` is not inside ``/srv/ab``."""
    return os.path.commonpath([real, root]) == root
