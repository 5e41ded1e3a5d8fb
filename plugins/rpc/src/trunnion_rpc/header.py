"""The one header both sides know: where a token is shown."""

from __future__ import annotations

HEADER = "authorization"
