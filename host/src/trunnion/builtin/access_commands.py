"""``principals.*`` and ``grants.*``: who there is, and what each may do."""

from __future__ import annotations

import secrets
from typing import Annotated, Literal

from trunnion.access.changes import (
    RoleOrNone,
    add_grant,
    add_principal,
    no_principal,
    remove_grant,
    remove_principal,
    set_password,
    set_principal,
)
from trunnion.access.credentials import check_password
from trunnion.access.identity import CERTIFICATE, PASSWORD, TOKEN
from trunnion.arguments.hints import Secret
from trunnion.config.access_settings import is_grant_id
from trunnion.kernel.context import Context
from trunnion.kernel.core import Kernel
from trunnion.model.access import Grant, Password, Principal
from trunnion.model.commands import Command, Handler
from trunnion.model.errors import Forbidden, InvalidArguments
from trunnion.model.json import Json
from trunnion.model.runs import Role

REMOTE = frozenset({"web", "rpc"})
_NAME = {"name": "principals.list"}


class AccessCommands:
    """Adds, changes and removes principals and grants."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def commands(self) -> list[Command]:
        """All of them."""
        return [
            _admin(self.add, "principals", title="Add a person or a program"),
            _admin(self.set_, "principals", name="set", title="Change a principal", complete=_NAME),
            _admin(
                self.remove, "principals", title="Remove a principal", effect="destroy", complete=_NAME,
                confirm="Remove the principal with its tokens and grants?",
            ),
            # Without a record: the password is not even sealed, and whoever changes their own gets an answer.
            Command.of(
                self.password, console="principals", title="Set a password", role="viewer", lock=None,
                expose=REMOTE, keep="none", complete=_NAME,
            ),
            _admin(self.grant, "grants", name="add", title="Give a principal a role on some things",
                   complete={"principal": "principals.list"}),
            _admin(
                self.ungrant, "grants", name="remove", title="Take a grant back", effect="destroy",
                complete={"id": "grants.list"},
            ),
        ]  # fmt: skip

    # -- principals -------------------------------------------------------------------------------

    async def add(
        self,
        ctx: Context,
        name: str,
        *,
        kind: Literal["person", "program"] = "person",
        role: Role | None = None,
        note: str = "",
    ) -> dict[str, Json]:
        """Add a person or a program. What it may do is its role everywhere and what grants add to that.

        Args:
            name: a login, a mail address, the id of a workload.
            kind: who it is.
            role: what it is everywhere; without one, only grants count.
            note: for people.
        """
        about = Principal(name=name, kind=kind, role=role, note=note, created=self._kernel.clock.utc())
        await self._kernel.identities.change(ctx.caller, lambda register: add_principal(register, about))
        return {"principal": name}

    async def set_(
        self,
        ctx: Context,
        name: str,
        *,
        role: RoleOrNone | None = None,
        note: str | None = None,
        disabled: bool | None = None,
    ) -> dict[str, Json]:
        """Change a principal; what is not given stays as it is.

        Args:
            name: the principal.
            role: what it is everywhere, ``none`` to leave it to grants.
            note: for people.
            disabled: whether it can prove who it is and still do nothing.
        """
        await self._kernel.identities.change(
            ctx.caller, lambda register: set_principal(register, name, role=role, note=note, disabled=disabled)
        )
        return {"principal": name}

    async def password(
        self,
        ctx: Context,
        name: str,
        *,
        password: Annotated[str, Secret()],
        current: Annotated[str | None, Secret()] = None,
    ) -> dict[str, Json]:
        """Set the password of a principal. Whoever sets their own gives the present one too.

        Whoever logged in with the one before has to log in again.

        Args:
            name: the principal.
            password: the new one, 8 to 1024 characters.
            current: the present one, where it is one's own.
        """
        check_password(password)
        proved = await self._may_set_password(ctx, name, current)
        hashed = await self._kernel.authentication.hashed(password)
        mark = secrets.token_hex(8)
        await self._kernel.identities.change(
            ctx.caller, lambda register: set_password(register, name, hashed, mark, proved)
        )
        return {"principal": name}

    async def _may_set_password(self, ctx: Context, name: str, current: str | None) -> str | None:
        """The mark of the present password, where it had to be shown."""
        caller = ctx.caller
        own = bool(caller.credential) and name == caller.principal
        if not own and not self._kernel.policy.is_admin(caller):
            raise no_principal(name)
        if caller.credential.startswith((TOKEN, CERTIFICATE)):
            raise Forbidden("whoever comes with a token or certificate sets no passwords: log in with a password")
        if not own:
            return None
        if current is None:
            raise InvalidArguments("give the present password too, as the argument current")
        door = (*caller.chain, caller.source)[0]  # guesses by way of another command count as those at the door itself
        proved = await self._kernel.authentication.authenticate(door, Password(name, current))
        return proved.credential.removeprefix(f"{PASSWORD}:")

    async def remove(self, ctx: Context, name: str) -> dict[str, Json]:
        """Remove a principal with its tokens and grants; its runs stay on record.

        Args:
            name: the principal.
        """
        change = await self._kernel.identities.change(ctx.caller, lambda register: remove_principal(register, name))
        return change.facts

    # -- grants -----------------------------------------------------------------------------------

    async def grant(
        self,
        ctx: Context,
        principal: str,
        role: Role,
        on: list[str],
        *,
        id: str | None = None,
        note: str = "",
    ) -> dict[str, Json]:
        """Give a principal a role on some commands, queries, streams or runs.

        Args:
            principal: who.
            role: at least this is what it is there.
            on: names or beginnings of names ending in ``*``. ``device.*`` means commands and queries;
                ``command:``, ``query:`` and ``stream:`` before it mean only those, ``runs:`` the runs of such
                commands, whoever started them.
            id: of the grant; one is made without it.
            note: for people.
        """
        grant_id = id or secrets.token_hex(4)
        if not is_grant_id(grant_id):
            raise InvalidArguments(f"{grant_id!r} cannot be the id of a grant: letters, digits and _ . -, at most 63")
        grant = Grant(
            id=grant_id, principal=principal, role=role, on=tuple(on), note=note, created=self._kernel.clock.utc()
        )
        await self._kernel.identities.change(ctx.caller, lambda register: add_grant(register, grant))
        return {"id": grant_id}

    async def ungrant(self, ctx: Context, id: str) -> dict[str, Json]:
        """Take a grant back; what it allowed is refused from the next call on.

        Args:
            id: the grant.
        """
        await self._kernel.identities.change(ctx.caller, lambda register: remove_grant(register, id))
        return {"removed": id}


def _admin(handler: Handler, console: str, name: str = "", **options: object) -> Command:
    """A command of administrators, at local doors."""
    return Command.of(handler, console=console, name=name, role="admin", lock=None, **options)
