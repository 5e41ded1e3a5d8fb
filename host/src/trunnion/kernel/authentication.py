"""The one way from a credential to a caller."""

from __future__ import annotations

import asyncio
import pwd
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from trunnion.access.changes import renew_password
from trunnion.access.credentials import Passwords, token_fits, token_id_of
from trunnion.access.identity import CERTIFICATE, PASSWORD, TOKEN
from trunnion.access.policy import is_local
from trunnion.access.register import TokenRecord
from trunnion.access.throttle import Throttle
from trunnion.config.data_dir import check_private
from trunnion.kernel.clock import Clock
from trunnion.kernel.identity import Identities
from trunnion.kernel.rarely import Rarely
from trunnion.kernel.reporting import HostLog
from trunnion.kernel.telling import Telling
from trunnion.kernel.threads import DaemonThreads, in_thread
from trunnion.model.access import BearerToken, ClientCertificate, Credential, LocalUser, Password, PrivateSocket
from trunnion.model.errors import Busy, InvalidConfig, TrunnionError, Unauthenticated
from trunnion.model.json import Json, JsonObject
from trunnion.model.runs import ROLES, Caller, Role
from trunnion.model.told import Refused

T = TypeVar("T")
AT_ONCE = 2
"""Passwords hashed at a time: each takes 64 MiB and a processor."""

REFUSED = "the credential is not valid here"
"""The one answer, whatever was wrong: the name, the secret, its expiry, a principal that is disabled."""


def user_name(uid: int) -> str:
    """The login name of a uid, ``uid-N`` when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


def local_caller(uid: int, source: str, role: Role = "admin") -> Caller:
    """A user of this machine to whom the data directory belongs, as a caller."""
    return Caller(user_name(uid), source, role)


class Authentication:
    """Maps credentials to callers.

    Args:
        identities: who there is.
        clock: of the host.
        readers: threads in which passwords are hashed.
        telling: who is told of refusals.
        host_log: takes what operators should know.
        owner: the uid of the data directory's owner, who is admin, as root is; None for nobody yet.

    Attributes:
        last_used: when each token was last accepted since the start, UTC microseconds.
        passwords: how they are hashed.
        run: the folder for sockets that only the owner may open; None for nowhere yet.
    """

    def __init__(
        self,
        identities: Identities,
        clock: Clock,
        readers: DaemonThreads,
        telling: Telling,
        host_log: HostLog,
        owner: int | None = None,
    ) -> None:
        self.last_used: dict[str, int] = {}
        self.owner = owner
        self.run: Path | None = None
        self.passwords = Passwords()
        self.throttle = Throttle(clock.monotonic)
        self._identities = identities
        self._clock = clock
        self._readers = readers
        self._telling = telling
        self._host_log = host_log
        self._rarely = Rarely(self._tell, clock)
        self._hashing = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[object]] = set()
        identities.listeners.append(self._forget)

    async def authenticate(self, source: str, credential: Credential) -> Caller:
        """Who showed a credential at a door.

        Args:
            source: the door.
            credential: what it was shown.

        Raises:
            Unauthenticated: it proves nobody; the message never says why.
            Busy: too many attempts failed; ``details["retry_after"]`` are the seconds to wait.
        """
        try:
            if isinstance(credential, LocalUser):
                return self._local(source, credential.uid)
            if isinstance(credential, PrivateSocket):
                return self._private(source, credential.path)
            if isinstance(credential, BearerToken):
                return self._bearer(source, credential.token)
            if isinstance(credential, ClientCertificate):
                return self._certified(source, credential)
            return await self._password(source, credential)
        except Busy as error:
            self._note(source, _kind_of(credential), error.code, "too many attempts failed before")
            raise

    # -- users of this machine --------------------------------------------------------------------

    def _local(self, source: str, uid: int) -> Caller:
        if not is_local(source) or self.owner is None or uid not in (self.owner, 0):
            raise self._refused(source, "local", {"uid": uid})
        return local_caller(uid, source)

    def _private(self, source: str, path: Path) -> Caller:
        """Whoever reaches a socket that is open to the owner alone is the owner, at whatever door."""
        if self.owner is None or not _is_private(path, self.run):
            raise self._refused(source, "socket", {})
        return local_caller(self.owner, source)

    # -- tokens -----------------------------------------------------------------------------------

    def _bearer(self, source: str, token: str) -> Caller:
        """Whoever has the right token is let in even while others are held off for guessing at it."""
        token_id = token_id_of(token)
        record = self._identities.register.token(token_id) if token_id is not None else None
        fits = token_fits(token, record.sha256 if record is not None else None)
        key = (token_id or "", f"{source} token")
        if not fits:
            self.throttle.begin(key)
        if record is None or not fits or not self._counts_now(record):
            raise self._refused(source, "token", {"token_id": record.about.id} if record is not None else {})
        self.throttle.succeeded(key)
        self.last_used[record.about.id] = self._clock.utc()
        role = self._role(record.about.principal)
        bound = record.about.role
        shown = role if bound is None else min(role, bound, key=lambda each: ROLES[each])
        return Caller(record.about.principal, source, shown, credential=f"{TOKEN}{record.about.id}")

    def _counts_now(self, record: TokenRecord) -> bool:
        expires = record.about.expires
        return self._able(record.about.principal) and (expires is None or expires > self._clock.utc())

    def _able(self, name: str) -> bool:
        """Whether a principal may log in."""
        record = self._identities.register.principal(name)
        return record is not None and not record.about.disabled

    def _role(self, name: str) -> Role:
        record = self._identities.register.principal(name)
        return (record.about.role if record is not None else None) or "viewer"

    # -- certificates -----------------------------------------------------------------------------

    def _certified(self, source: str, given: ClientCertificate) -> Caller:
        """The door has seen to the certificate; here it counts whether there is somebody of its name."""
        name = given.principal
        if is_local(source) or not self._able(name):
            known = self._identities.register.principal(name) is not None
            why = ("disabled", f"{name} is disabled") if known else ("unknown", f"there is no principal {name}")
            facts: JsonObject = {"principal": name, "fingerprint": given.fingerprint}
            raise self._told(source, "certificate", *why, facts)
        return Caller(name, source, self._role(name), credential=f"{CERTIFICATE}{given.fingerprint}")

    # -- passwords --------------------------------------------------------------------------------

    async def _password(self, source: str, given: Password) -> Caller:
        name, key = given.principal, (given.principal[:200], source)
        self.throttle.begin(key)
        hashed = await self._fitting(name, given.password)
        if hashed is None or not self._able(name):
            known = self._identities.register.principal(name) is not None
            raise self._refused(source, "password", {"principal": name} if known else {})
        self.throttle.succeeded(key)
        caller = Caller(name, source, self._role(name), credential=f"{PASSWORD}:{self._mark(name)}")
        if self.passwords.outdated(hashed):
            await self._renew(caller, given.password, hashed)
        return caller

    async def _fitting(self, name: str, password: str) -> str | None:
        """The hash a password fits, as it is kept when that is known; None if it does not."""
        while True:
            hashed = self._hash_of(name)
            if not await self._in_turn(partial(self.passwords.fits, password, hashed)):
                return None
            if hashed == self._hash_of(name):
                return hashed

    def _mark(self, name: str) -> str:
        record = self._identities.register.principal(name)
        return "" if record is None else record.about.password_mark

    def _hash_of(self, name: str) -> str | None:
        record = self._identities.register.principal(name)
        return None if record is None else record.password_hash or None

    async def hashed(self, password: str) -> str:
        """The hash to keep of a password, once it is its turn."""
        return await self._in_turn(partial(self.passwords.hash, password))

    async def _in_turn(self, work: Callable[[], T]) -> T:
        """Do something that takes a processor. Its place is taken until it is done, whoever has given up waiting."""
        task = asyncio.get_running_loop().create_task(self._work(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _work(self, work: Callable[[], T]) -> T:
        async with self._hashing:
            return await in_thread(self._readers, work)

    async def _renew(self, caller: Caller, password: str, old: str) -> None:
        """Keep the hash with the parameters of today; that this fails keeps nobody out."""
        name = caller.principal
        if name in self._identities.register.configured.principals:
            return
        new = await self.hashed(password)
        try:
            await self._identities.change(caller, lambda register: renew_password(register, name, old, new))
        except TrunnionError as error:
            self._host_log.report(
                "access.rehash_failed", f"the password of {name} keeps its old hash: {error.message}", error
            )

    # -- refusals ---------------------------------------------------------------------------------

    def refuse(self, source: str, kind: str, reason: str, text: str, facts: JsonObject) -> Unauthenticated:
        """Count and tell what a door found wrong with something it looked at itself; see ``HostHandle.refuse``."""
        return self._told(source, kind, reason, text, facts)

    def _told(self, source: str, kind: str, reason: str, text: str, facts: JsonObject) -> Unauthenticated:
        """The one answer, told once and then as a number: nothing slows down whoever comes again and again."""
        sentence = f"a {kind} was refused at {source}: {text}"
        whole = {"source": source, "kind": kind, "reason": reason, **facts}
        key = (source, kind, reason, facts.get("principal"))
        self._rarely.say("access.refused", key, sentence, lambda n: f"{sentence} ({n} times more)", facts=whole)
        self._note(source, kind, Unauthenticated.code, sentence)
        return Unauthenticated(REFUSED)

    def _note(self, source: str, kind: str, code: str, text: str) -> None:
        self._telling.counts[code] += 1
        self._telling.tell(Refused(kind="credential", target=kind, source=source, code=code, reason=text))

    def _tell(
        self, code: str, text: str, error: BaseException | None = None, *, facts: JsonObject | None = None
    ) -> None:
        self._identities.tell(code, text, facts or {}, "warning")
        self._host_log.log(code, "warning", text)

    def _refused(self, source: str, kind: str, facts: dict[str, Json]) -> Unauthenticated:
        """The one answer. What was shown is told nowhere: a password typed as a name would be."""
        who = f" for {next(iter(facts.values()))}" if facts else ""
        text = f"a {kind} was refused at {source}{who}"
        self._identities.tell("access.refused", text, {"source": source, "kind": kind, **facts}, "warning")
        self._note(source, kind, Unauthenticated.code, text)
        return Unauthenticated(REFUSED)

    def _forget(self, gone: set[str]) -> None:
        for name in gone:
            self.last_used.pop(name, None)
            self.throttle.forget(name)


def _kind_of(credential: Credential) -> str:
    return "password" if isinstance(credential, Password) else "token"


def _is_private(path: Path, run: Path | None) -> bool:
    """Whether a path is a socket in a folder, both of which let nobody in but the owner (and root)."""
    try:
        if path.parent != run or not stat.S_ISSOCK(path.lstat().st_mode):
            return False
        for place in (path.parent, path):
            check_private(place)
    except (OSError, InvalidConfig):
        return False
    return True
