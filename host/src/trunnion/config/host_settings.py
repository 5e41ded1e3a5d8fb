"""The host's own sections, declared the way a plugin declares its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from trunnion.config.access_settings import ACCESS_SETTINGS, Problem, check_access
from trunnion.config.redaction_settings import REDACTION_SETTINGS
from trunnion.config.retention_settings import RETENTION_SETTINGS
from trunnion.model.contributions import Setting
from trunnion.model.json import Json, JsonObject

_MIB = 1024 * 1024
_SWITCH: Json = {
    "anyOf": [
        {"type": "boolean"},
        {
            "type": "object",
            "properties": {"enabled": {"type": "boolean"}},
            "required": ["enabled"],
            "additionalProperties": False,
        },
    ]
}


def _setting(key: str, description: str, reload: Literal["live", "restart"] = "restart", **schema: Json) -> Setting:
    return Setting(key=key, schema={"description": description, **schema}, reload=reload)


def _names(key: str, description: str, **schema: Json) -> Setting:
    return Setting(
        key=key,
        schema={"description": description, "type": "array", "items": {"type": "string"}, **schema},
    )


def _count(key: str, default: int, description: str, minimum: int = 1) -> Setting:
    return _setting(key, description, "live", type="integer", minimum=minimum, default=default)


def _seconds(key: str, default: float, description: str) -> Setting:
    return _setting(key, f"{description} (seconds)", "live", type="number", minimum=0, default=default)


HOST_SETTINGS: dict[str, tuple[Setting, ...]] = {
    "host": (
        _setting(
            "data_dir",
            "Where everything is kept; relative to the file; empty takes the user's or the system's place",
            type="string",
            default="",
        ),
        _setting(
            "cgroup",
            "Where programs get a cgroup v2 each: auto (where one was delegated to the host), off, or a folder of "
            "cgroup v2 that the host may use",
            type="string",
            pattern="^(auto|off|/.*)$",
            default="auto",
        ),
        _seconds(
            "lag_limit",
            0.1,
            "How long code may keep the loop from turning before it is named; at least 0.02, 0 names none",
        ),
    ),
    "executor": (
        _count("max_running", 256, "Runs that may execute at a time, nested ones included"),
        _count("threads", 32, "Threads for handlers that are plain functions"),
        _count("max_pending", 10_000, "Runs that may wait; more are refused as busy"),
        _count("max_pending_per_principal", 5_000, "The same for one principal"),
        _count("max_abandoned", 8, "Threads that ignore their end and are replaced; after that, busy", minimum=0),
        _setting(
            "default_lock",
            "Lane of a command that names none, as a template; empty lets its runs go in parallel",
            type="string",
            default="{command_id}",
        ),
        _seconds("default_timeout", 0, "Time limit of a command that names none; 0 is no limit"),
        _seconds("cancel_grace", 5, "How long a cancelled handler may take to leave by itself"),
        _seconds("shutdown_grace", 10, "How long runs may go on once the host is asked to stop"),
        _seconds("park_timeout", 86_400, "How long a run waits for a command that is not there"),
        _count("max_result_bytes", _MIB, "Results above this are kept as an artifact"),
        _count("max_uncommitted_bytes", 4 * _MIB, "Output of one run that may wait to be committed"),
        _count(
            "max_output_bytes",
            256 * _MIB,
            "Output of one run that is kept: its beginning, its end, and how much is missing between; 0 keeps all. "
            "For runs that begin after a change",
            minimum=0,
        ),
        _count("max_output_lines", 1_000_000, "The same in lines; other events count as one each", minimum=0),
    ),
    "store": (
        _setting(
            "durability",
            "What acknowledged runs survive: nothing, the death of the process, or loss of power",
            type="string",
            enum=["memory", "process", "power"],
            default="process",
        ),
        *RETENTION_SETTINGS,
    ),
    "state": (
        _count("max_document_bytes", _MIB, "One document of a plugin, as JSON"),
        _count("max_plugin_bytes", 64 * _MIB, "All documents of one plugin together"),
        _count("max_documents", 100_000, "Documents of one plugin"),
    ),
    "bytes": (
        _count("max_artifact", 1024 * _MIB, "One file kept with a run"),
        _count("max_run_artifacts", 4096 * _MIB, "All files kept with one run"),
        _count("max_upload", 1024 * _MIB, "One upload"),
        _count("max_uploads", 100, "Uploads one principal may have, finished or not"),
        _count("max_principal_uploads", 4096 * _MIB, "All uploads of one principal together"),
        _count("max_all_uploads", 16384 * _MIB, "All uploads together"),
        _seconds("upload_ttl", 86_400, "How long an upload is kept that serves no run"),
        _names("roots", "Folders in which a path given as a file argument must lie, links followed", default=["/"]),
    ),
    "frontends": (
        Setting(
            key="",
            schema={
                "description": "Which doors are open: name = true, name = false or name = { enabled = true }",
                "type": "object",
                "additionalProperties": _SWITCH,
            },
        ),
    ),
    "plugins": (
        _names("only", "Load these plugins and no other"),
        _names("without", "Do not load these plugins", default=[]),
        _names("dir", "Folders with single-file plugins, relative to the file", default=[]),
    ),
    "redaction": REDACTION_SETTINGS,
    "log": (
        _setting(
            "level",
            "The least level that is written to the host's log",
            reload="live",
            type="string",
            enum=["debug", "info", "warning", "error", "critical"],
            default="info",
        ),
    ),
    "access": ACCESS_SETTINGS,
}
"""Section name -> its settings. No plugin may take one of these names."""

SECTION_CHECKS: Mapping[str, Callable[[JsonObject], Iterable[Problem]]] = {"access": check_access}
"""Section name -> what is wrong with settings that fit each by itself, each as keys and a sentence."""
