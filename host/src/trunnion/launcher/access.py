"""``trunnion principals``, ``trunnion grants``, ``trunnion tokens``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trunnion.launcher.views import View, ViewGroup, moment, table_of, text_of

if TYPE_CHECKING:
    from trunnion.launcher.screen import Screen
    from trunnion.model.json import Json


def _origin(item: Mapping[str, Json]) -> str:
    return "shadowed" if item.get("shadowed") else str(item.get("origin"))


def _principal(item: Mapping[str, Json]) -> list[str]:
    return [*text_of(item, "name", "kind", "role", "disabled", "has_password"), _origin(item), *text_of(item, "note")]


def _grant(item: Mapping[str, Json]) -> list[str]:
    return [*text_of(item, "id", "principal", "role", "on"), _origin(item), *text_of(item, "note")]


def _token(item: Mapping[str, Json]) -> list[str]:
    expires = "expired" if item.get("expired") else moment(item.get("expires")) or "never"
    used = moment(item.get("last_used"))
    return [*text_of(item, "id", "principal", "role", "on"), expires, used, _origin(item), *text_of(item, "note")]


def _show_new(screen: Screen, value: Json) -> None:
    """The token alone on standard output, so that a script can take it."""
    made = value if isinstance(value, Mapping) else {}
    screen.out(f"{made.get('token')}\n")
    until = moment(made.get("expires"))
    screen.note(f"token {made.get('id')} of {made.get('principal')}, valid {f'until {until}' if until else 'for ever'}")
    screen.note("keep it now: it will not be shown again")


principals = ViewGroup(
    "principals",
    "List, add and change people and programs.",
    {
        "list": View(
            "queries", "principals.list", "List people and programs.",
            table_of(("name", "kind", "role", "disabled", "password", "origin", "note"), _principal),
        ),
        "show": View("queries", "principals.get", "Show one with its grants and tokens."),
        "add": View("commands", "principals.add", "Add a person or a program."),
        "set": View("commands", "principals.set", "Change role, note, or whether it is disabled."),
        "password": View("commands", "principals.password", "Set a password.", asks=("password",)),
        "remove": View("commands", "principals.remove", "Remove one with its tokens and grants."),
    },
)  # fmt: skip

grants = ViewGroup(
    "grants",
    "List, add and remove roles on some commands, queries, streams or runs.",
    {
        "list": View(
            "queries", "grants.list", "List grants.",
            table_of(("id", "principal", "role", "on", "origin", "note"), _grant),
        ),
        "add": View("commands", "grants.add", "Give a principal a role on some things."),
        "remove": View("commands", "grants.remove", "Take a grant back."),
    },
)  # fmt: skip

tokens = ViewGroup(
    "tokens",
    "List, make and revoke API tokens.",
    {
        "list": View(
            "queries", "tokens.list", "List tokens, without their secrets.",
            table_of(("id", "principal", "role", "on", "expires", "last used", "origin", "note"), _token),
        ),
        "create": View("commands", "tokens.create", "Make a token; it is shown this once.", _show_new),
        "revoke": View("commands", "tokens.revoke", "Revoke a token."),
    },
)  # fmt: skip
