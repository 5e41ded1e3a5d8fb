"""``principals.*``, ``grants.*`` and ``tokens.*`` queries. Whoever is not admin sees themselves; nobody sees hashes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from trunnion.access.changes import no_principal
from trunnion.access.register import GrantRecord, PrincipalRecord, Record, Register, TokenRecord
from trunnion.kernel.core import Kernel
from trunnion.model.commands import Handler, Query
from trunnion.model.json import Json
from trunnion.model.runs import Caller

REMOTE = frozenset({"web", "rpc"})
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
R = TypeVar("R", PrincipalRecord, TokenRecord, GrantRecord)
Row: TypeAlias = tuple[str, dict[str, Json]]
"""An item of a list and what it is sorted by, which is the cursor behind it."""


class AccessQueries:
    """Shows the register: what counts, and what is shadowed by the configuration."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def queries(self) -> list[Query]:
        """All of them."""
        name, principal = {"name": "principals.list"}, {"principal": "principals.list"}
        return [
            _query(self.principals, "principals", name="list", title="Who there is"),
            _query(self.get, "principals", title="One principal", complete=name),
            _query(self.grants, "grants", name="list", title="Roles on some things", complete=principal),
            _query(self.tokens, "tokens", name="list", title="API tokens, without their secrets", complete=principal),
        ]

    async def principals(self, caller: Caller, *, limit: Limit = 100, cursor: str | None = None) -> dict[str, Json]:
        """People and programs, in order of name.

        Args:
            limit: at most so many.
            cursor: as given by the page before.
        """
        return _page(self._principals(self._only(caller, None)), limit, cursor)

    async def get(self, caller: Caller, name: str) -> dict[str, Json]:
        """One principal with its grants and tokens.

        Args:
            name: the principal.
        """
        if self._only(caller, None) not in (None, name):
            raise no_principal(name)
        rows = self._principals(name)
        if not rows:
            raise no_principal(name)
        counting = next(item for _, item in rows if not item["shadowed"])
        grants, tokens = self._grants(name), self._tokens(name)
        return {**counting, "grants": [item for _, item in grants], "tokens": [item for _, item in tokens]}

    async def grants(
        self, caller: Caller, *, principal: str | None = None, limit: Limit = 100, cursor: str | None = None
    ) -> dict[str, Json]:
        """Grants, in order of id.

        Args:
            principal: only those of this one.
            limit: at most so many.
            cursor: as given by the page before.
        """
        return _page(self._grants(self._only(caller, principal)), limit, cursor)

    async def tokens(
        self, caller: Caller, *, principal: str | None = None, limit: Limit = 100, cursor: str | None = None
    ) -> dict[str, Json]:
        """Tokens, in order of id; ``last_used`` since the host was started.

        Args:
            principal: only those of this one.
            limit: at most so many.
            cursor: as given by the page before.
        """
        return _page(self._tokens(self._only(caller, principal)), limit, cursor)

    # -- rows -------------------------------------------------------------------------------------

    def _only(self, caller: Caller, asked: str | None) -> str | None:
        """Whose entries are shown: of all (None) only to administrators."""
        return asked if self._kernel.policy.is_admin(caller) else caller.principal

    @property
    def _register(self) -> Register:
        return self._kernel.identities.register

    def _principals(self, only: str | None) -> list[Row]:
        both = self._register.configured.principals, self._register.managed.principals
        return _rows(*both, lambda record: only in (None, record.about.name), _principal)

    def _grants(self, only: str | None) -> list[Row]:
        both = self._register.configured.grants, self._register.managed.grants
        return _rows(*both, lambda record: only in (None, record.about.principal), _grant)

    def _tokens(self, only: str | None) -> list[Row]:
        both = self._register.configured.tokens, self._register.managed.tokens
        return _rows(*both, lambda record: only in (None, record.about.principal), self._token)

    def _token(self, record: TokenRecord) -> dict[str, Json]:
        about, now = record.about, self._kernel.clock.utc()
        return {
            "id": about.id,
            "principal": about.principal,
            "role": about.role,
            "on": list(about.on),
            "expires": about.expires,
            "expired": about.expires is not None and about.expires <= now,
            "last_used": self._kernel.authentication.last_used.get(about.id),
            **_common(record),
        }


def _principal(record: PrincipalRecord) -> dict[str, Json]:
    about = record.about
    return {
        "name": about.name,
        "kind": about.kind,
        "role": about.role,
        "disabled": about.disabled,
        "has_password": about.has_password,
        **_common(record),
    }


def _grant(record: GrantRecord) -> dict[str, Json]:
    about = record.about
    return {
        "id": about.id, "principal": about.principal, "role": about.role, "on": list(about.on), **_common(record)
    }  # fmt: skip


def _common(record: Record) -> dict[str, Json]:
    return {
        "note": record.about.note,
        "origin": "managed" if record.about.managed else "config",
        "created": record.about.created or None,
    }


def _rows(
    configured: Mapping[str, R],
    managed: Mapping[str, R],
    wanted: Callable[[R], bool],
    shown: Callable[[R], dict[str, Json]],
) -> list[Row]:
    """Items in order of name or id; a managed one that the configuration shadows comes behind that."""
    rows = [(f"{key} 0", {**shown(record), "shadowed": False}) for key, record in configured.items() if wanted(record)]
    for key, record in managed.items():
        if wanted(record):
            rows.append((f"{key} 1", {**shown(record), "shadowed": key in configured}))
    return sorted(rows, key=lambda row: row[0])


def _page(rows: list[Row], limit: int, cursor: str | None) -> dict[str, Json]:
    begin = bisect_right([key for key, _ in rows], cursor) if cursor is not None else 0
    page = rows[begin : begin + limit]
    items: Iterable[Json] = [item for _, item in page]
    return {"items": list(items), "next": page[-1][0] if begin + limit < len(rows) else None}


def _query(handler: Handler, console: str, name: str = "", **options: object) -> Query:
    return Query.of(handler, console=console, name=name, expose=REMOTE, **options)
