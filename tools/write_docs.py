"""Write the pages that are made from the code: docs/hooks.md, docs/configuration.md, docs/protocol.md, and the settings
in docs/audit.md and docs/rpc.md.

``python tools/write_docs.py`` writes them; a contract test fails while they are not current.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from trunnion import hookspecs
from trunnion.config.host_settings import HOST_SETTINGS
from trunnion.model.contributions import Setting
from trunnion.model.json import encode
from trunnion.protocol.methods import METHODS, Method
from trunnion_audit.plugin import trunnion_settings as audit_settings
from trunnion_rpc.plugin import trunnion_settings as rpc_settings

DOCS = Path(__file__).resolve().parent.parent / "docs"


def hooks_page() -> str:
    """The hook reference: the text and the exact parameters of every hook."""
    parts = ["# Hooks", inspect.getdoc(hookspecs) or ""]
    for name, function in vars(hookspecs).items():
        if name.startswith("trunnion_") and inspect.isfunction(function):
            signature = str(inspect.signature(function)).replace("'", "")
            parts.append(f"## {name}\n\n    {name}{signature}\n\n{inspect.getdoc(function)}")
    return "\n\n".join(parts) + "\n"


def configuration_page() -> str:
    """The host's own settings, with type, default and what they are for."""
    parts = [
        "# Configuration",
        "One TOML file. A stronger source wins: default, file, environment\n"
        "(`TRUNNION__EXECUTOR__MAX_RUNNING=4`), flag (`--set executor.max_running=4`). Each plugin adds a section\n"
        "under its own name; `trunnion config show` lists everything with its source.",
        "A change of a setting marked *live* takes effect with `trunnion run host.reload` or SIGHUP, one of a setting\n"
        "marked *restart* at the next start; see [operating.md](operating.md#changing-the-configuration).",
    ]
    for section, settings in HOST_SETTINGS.items():
        lines = [f"## [{section}]", ""]
        lines += [_line(setting) for setting in settings]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _line(setting: Setting) -> str:
    schema = setting.schema
    if not setting.key:
        return f"{schema['description']} ({setting.reload})."
    default = f", default `{encode(schema['default']).decode()}`" if "default" in schema else ""
    choices = f", one of `{encode(schema['enum']).decode()}`" if "enum" in schema else ""
    return f"- `{setting.key}` ({schema['type']}{choices}{default}, {setting.reload}): {schema['description']}."


def protocol_page() -> str:
    """The method table of the local socket, with the parameters of each method."""
    parts = [
        "# Protocol of the local socket",
        "One JSON object a line, both ways, on `run/host.sock` in the data directory. Only the owner of the\n"
        "directory and root are admitted. Other doors that speak JSON use the same envelope and method table.",
        "```json\n"
        '{"type": "rpc", "id": 1, "method": "query", "params": {"query_id": "host.status"}}\n'
        '{"type": "rpc_result", "id": 1, "result": {"...": "..."}}\n'
        '{"type": "rpc_error", "id": 1, "code": "not_found", "message": "...", "details": {}, "number": 404}\n'
        '{"type": "event", "event": "stream", "data": {"subscription": 1, "stream": "host", "events": []}}\n'
        "```",
        "Ids are the client's and free again once answered. Calls are answered as they are done, not in order.\n"
        "`timeout` (seconds) beside `params` bounds the wait. `code` is one of those in [operating.md](operating.md),\n"
        "`number` the HTTP status that goes with it. A command's or query's own id is a method too.",
        "## Methods",
    ]
    parts += [_method(name, method) for name, method in METHODS.items()]
    return "\n\n".join(parts) + "\n"


def _method(name: str, method: Method) -> str:
    fields = msgspec.structs.fields(method.params)
    takes = ", ".join(f"`{f.encode_name}`" + ("" if f.required else " (optional)") for f in fields) or "nothing"
    about = (inspect.getdoc(method.perform) or "").partition("\n\n")[0].replace("\n", " ")
    return f"### {name}\n\n{about}\n\nTakes {takes}."


def guide(page: str, section: str, settings: Iterable[Setting]) -> str:
    """A guide as it is, with the settings of its plugin at its end."""
    before, title, _ = (DOCS / page).read_text(encoding="utf-8").partition("## Settings\n")
    return f"{before}{title}\nThe section `[{section}]`:\n\n" + "".join(
        f"{_line(each)}\n" for setting in settings for each in _with_inner(setting)
    )


def rpc_page() -> str:
    """The guide to gRPC, with the settings of the door."""
    return guide("rpc.md", "rpc", rpc_settings())


def audit_page() -> str:
    """The guide to the audit, with its settings."""
    return guide("audit.md", "audit", audit_settings())


def _with_inner(setting: Setting) -> Iterator[Setting]:
    """A setting, and those of the table that it is."""
    yield setting
    inner = setting.schema.get("properties")
    for name, schema in inner.items() if isinstance(inner, Mapping) else ():
        if isinstance(schema, Mapping):
            yield Setting(key=f"{setting.key}.{name}", schema=schema, reload=setting.reload)


PAGES = {
    "hooks.md": hooks_page,
    "configuration.md": configuration_page,
    "protocol.md": protocol_page,
    "audit.md": audit_page,
    "rpc.md": rpc_page,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
