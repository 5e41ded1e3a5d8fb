"""``tokens.*`` commands: API tokens, made and revoked by administrators and by whoever they belong to."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from trunnion.access.changes import add_token, no_principal, no_token, remove_token
from trunnion.access.credentials import new_token, token_digest
from trunnion.access.identity import CERTIFICATE, TOKEN
from trunnion.arguments.duration import to_iso
from trunnion.kernel.context import Context
from trunnion.kernel.core import Kernel
from trunnion.model.access import Token
from trunnion.model.commands import Command
from trunnion.model.errors import Forbidden, InvalidArguments
from trunnion.model.json import Json
from trunnion.model.runs import Caller, Role

REMOTE = frozenset({"web", "rpc"})
LONGEST = timedelta(days=36_500)


class TokenCommands:
    """Makes and revokes tokens."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def commands(self) -> list[Command]:
        """All of them."""
        return [
            # Without a record: a new token is kept nowhere, and one that revokes itself gets an answer.
            Command.of(
                self.create, console="tokens", title="Make an API token", role="viewer", lock=None, expose=REMOTE,
                keep="none", complete={"principal": "principals.list"},
            ),
            Command.of(
                self.revoke, console="tokens", title="Revoke an API token", role="viewer", effect="destroy",
                lock=None, expose=REMOTE, keep="none", complete={"id": "tokens.list"},
            ),
        ]  # fmt: skip

    async def create(
        self,
        ctx: Context,
        principal: str,
        *,
        role: Role | None = None,
        on: list[str] | None = None,
        expires: str = "90d",
        note: str = "",
    ) -> dict[str, Json]:
        """Make an API token. It can do what its principal can, within its scope. It is shown this once.

        Args:
            principal: whom it stands for; whoever is not admin can only name themselves.
            role: the most it can be.
            on: what it reaches, patterns as in ``grants.add``; without any, all but the runs of others.
            expires: after how long, such as ``12h`` or ``90d``, or ``never``.
            note: for people: where it is used.
        """
        caller, now = ctx.caller, self._kernel.clock.utc()
        if not self._is_for(caller, principal):
            raise no_principal(principal)
        if caller.credential.startswith((TOKEN, CERTIFICATE)):  # it would outlast them
            raise Forbidden("whoever comes with a token or certificate makes no tokens: log in with a password")
        lasts = _span(expires)
        token_id, text = new_token()
        token = Token(
            id=token_id,
            principal=principal,
            role=role,
            on=("*",) if on is None else tuple(on),
            expires=None if lasts is None else now + lasts // timedelta(microseconds=1),
            note=note,
            created=now,
        )
        await self._kernel.identities.change(caller, lambda register: add_token(register, token, token_digest(text)))
        return {"id": token_id, "token": text, "principal": principal, "expires": token.expires}

    async def revoke(self, ctx: Context, id: str) -> dict[str, Json]:
        """Revoke a token; the very next call with it is refused. A token that is no admin's revokes only itself.

        Args:
            id: what stands between ``trn_`` and the next ``_``.
        """
        caller, record = ctx.caller, self._kernel.identities.register.token(id)
        if record is None or not self._is_for(caller, record.about.principal):
            raise no_token(id)
        itself = caller.credential == f"{TOKEN}{id}"
        if caller.credential.startswith(TOKEN) and not itself and not self._kernel.policy.is_admin(caller):
            raise Forbidden(f"whoever comes with a token revokes only that: log in with a password to revoke {id}")
        await self._kernel.identities.change(caller, lambda register: remove_token(register, id))
        return {"revoked": id}

    def _is_for(self, caller: Caller, principal: str) -> bool:
        return principal == caller.principal or self._kernel.policy.is_admin(caller)


def _span(text: str) -> timedelta | None:
    """How long a token lasts; None for ever.

    Raises:
        InvalidArguments: it is no length of time.
    """
    if text == "never":
        return None
    iso = to_iso(text)
    lasts = msgspec.convert(iso, timedelta) if iso is not None else timedelta()
    if not timedelta() < lasts <= LONGEST:
        raise InvalidArguments(f"a token lasts a time such as 12h or 90d, at most 36500d, or never; not {text!r}")
    return lasts
