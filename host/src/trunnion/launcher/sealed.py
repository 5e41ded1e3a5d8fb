"""``trunnion secrets``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trunnion.launcher.views import View, ViewGroup, moment, table_of, text_of

if TYPE_CHECKING:
    from trunnion.model.json import Json


def _secret(item: Mapping[str, Json]) -> list[str]:
    return [*text_of(item, "name"), moment(item.get("updated")), "" if item.get("readable") else "cannot be opened"]


secrets = ViewGroup(
    "secrets",
    "List, keep and remove secrets; change their key.",
    {
        "list": View(
            "queries", "secrets.list", "List names of secrets, never a value.",
            table_of(("name", "changed", "trouble"), _secret),
        ),
        "set": View("commands", "secrets.set", "Keep a secret; it is asked for.", asks=("value",)),
        "delete": View("commands", "secrets.delete", "Remove a secret."),
        "rotate": View("commands", "secrets.rotate", "Make a new key and seal everything with it."),
    },
)  # fmt: skip
