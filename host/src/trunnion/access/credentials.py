"""Passwords and API tokens: how they are made, kept and compared. Neither can be told from what is kept.

Passwords are hashed with argon2id (RFC 9106), its second recommended choice of parameters. Tokens carry 256
random bits, so a plain sha256 of them is enough.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import unicodedata
from typing import TYPE_CHECKING

from trunnion.model.errors import InvalidArguments

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST, LONGEST = 8, 1024
"""Characters of a password."""

_BASE32 = string.ascii_lowercase + "234567"
_BASE62 = string.ascii_letters + string.digits
_ID, _SECRET = 12, 43
_token = re.compile(rf"trn_([a-z2-7]{{{_ID}}})_[0-9A-Za-z]{{{_SECRET}}}", re.ASCII)
_token_id = re.compile(rf"[a-z2-7]{{{_ID}}}", re.ASCII)
_NO_DIGEST = "0" * 64


# -- tokens ----------------------------------------------------------------------------------------


def new_token() -> tuple[str, str]:
    """A new token and its id: ``trn_<id>_<secret>``, 43 characters of base 62 for the secret (256 bits)."""
    token_id, secret = _random(_BASE32, _ID), _random(_BASE62, _SECRET)
    return token_id, f"trn_{token_id}_{secret}"


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def token_id_of(token: str) -> str | None:
    """The id a token names, None if the text has not the form of one."""
    found = _token.fullmatch(token)
    return found[1] if found else None


def is_token_id(text: str) -> bool:
    """Whether a token can have this id."""
    return _token_id.fullmatch(text) is not None


def token_digest(token: str) -> str:
    """What is kept of a token: the sha256 of its whole text, as hex digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def token_fits(token: str, digest: str | None) -> bool:
    """Whether a token is the one of a digest, in constant time; None stands for a token nobody has."""
    return hmac.compare_digest(token_digest(token), digest or _NO_DIGEST)


# -- passwords -------------------------------------------------------------------------------------


def check_password(password: str) -> None:
    """Refuse a password that is too short to keep anybody out, or longer than one needs to be.

    Raises:
        InvalidArguments: its length.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidArguments(f"a password has {SHORTEST} to {LONGEST} characters, this one has {len(password)}")


class Passwords:
    """Hashes and verifies passwords. Both take tens of milliseconds and 64 MiB: call them in a thread.

    Args:
        hasher: its parameters are those of new hashes; by default the second recommended set of RFC 9106.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._given = hasher

    @property
    def _hasher(self) -> PasswordHasher:
        if self._given is None:
            from argon2 import PasswordHasher

            self._given = PasswordHasher()
        return self._given

    def hash(self, password: str) -> str:
        """The hash of a password in PHC string format, with a salt of its own."""
        return self._hasher.hash(_bytes(password))

    def fits(self, password: str, hashed: str | None) -> bool:
        """Whether a password is the one that was hashed.

        Args:
            password: as typed.
            hashed: None, for somebody who has no password or whom there is not, takes as long as any other.
        """
        from argon2.exceptions import InvalidHashError, VerificationError

        hashed = hashed if len(password) <= LONGEST else None
        try:
            return self._hasher.verify(hashed or self._nobodys(), _bytes(password[:LONGEST]))
        except (VerificationError, InvalidHashError):
            return False

    def outdated(self, hashed: str) -> bool:
        """Whether a hash was made with other parameters than new ones are."""
        return self._hasher.check_needs_rehash(hashed)

    def _nobodys(self) -> str:
        """A hash no password is known for, with the parameters of new ones."""
        of = self._hasher
        work = f"m={of.memory_cost},t={of.time_cost},p={of.parallelism}"
        return f"$argon2id$v=19${work}${_zeros(of.salt_len)}${_zeros(of.hash_len)}"


def _zeros(length: int) -> str:
    """So many zero bytes in base 64 without padding."""
    return "A" * ((length * 8 + 5) // 6)


def _bytes(password: str) -> bytes:
    """The same bytes however a keyboard composes accents (Unicode NFC, as RFC 8265 has it)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
