"""The section ``[redaction]``: what is cut beside the values of known secrets."""

from __future__ import annotations

from typing import Final

from trunnion.model.contributions import Setting

KEY_NAMES: Final = (
    "*password", "*passwd", "*passphrase", "*secret", "*api_key", "*secret_key", "*access_key", "*private_key",
    "token", "access_token", "refresh_token", "id_token", "auth_token", "api_token", "session_token", "bearer_token",
    "authorization", "proxy_authorization", "cookie", "set_cookie",
)  # fmt: skip
"""Names of secrets in structured data; one that begins with ``*`` stands for every name that ends so."""

REDACTION_SETTINGS: Final = (
    Setting(
        key="patterns",
        reload="live",
        schema={
            "description": "Whether tokens, passwords in URLs, authorization headers and private keys are known by "
            "their looks",
            "type": "boolean",
            "default": True,
        },
    ),
    Setting(
        key="keys",
        reload="live",
        schema={
            "description": "Names under which structured data keeps secrets; * at the front stands for any beginning",
            "type": "array",
            "items": {"type": "string", "pattern": "^[*]?[A-Za-z0-9_. -]+$"},
            "default": list(KEY_NAMES),
        },
    ),
)
