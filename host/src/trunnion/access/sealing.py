"""Sealing: secrets at rest, encrypted with a key that only the data directory's owner can read.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce before the ciphertext and the owner's name as
associated data, so that a sealed value cannot be moved to another run.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from trunnion.model.errors import InternalError

NONCE = 12
KEY = 32


class Sealer:
    """Seals and opens small values.

    Args:
        key_path: the key file; made (0600) when the first secret is sealed. None keeps the key in memory.
    """

    def __init__(self, key_path: Path | None) -> None:
        self._path = key_path
        self._key: bytes | None = None

    def seal(self, owner: str, value: bytes) -> bytes:
        """Encrypt a value that belongs to ``owner``."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE)
        return nonce + AESGCM(self._load(create=True)).encrypt(nonce, value, owner.encode())

    def open(self, owner: str, sealed: bytes) -> bytes:
        """Decrypt what ``seal`` made for the same owner.

        Raises:
            InternalError: the key is missing or another one, or the bytes were changed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._load(create=False)).decrypt(sealed[:NONCE], sealed[NONCE:], owner.encode())
        except InvalidTag:
            raise InternalError(
                f"the sealed secrets of {owner} cannot be opened with the key in {self._path}"
            ) from None

    def digest(self, value: bytes) -> str:
        """A keyed digest (HMAC-SHA256), so that short secrets cannot be guessed from it."""
        return hmac.new(self._load(create=True), value, "sha256").hexdigest()

    def _load(self, *, create: bool) -> bytes:
        if self._key is None:
            self._key = self._read() or (self._make() if create else b"")
        if len(self._key) != KEY:
            self._key = None
            raise InternalError(f"the key for sealed secrets, {self._path}, is missing or damaged")
        return self._key

    def _read(self) -> bytes:
        if self._path is None or not self._path.exists():
            return b""
        return self._path.read_bytes()

    def _make(self) -> bytes:
        key = os.urandom(KEY)
        if self._path is not None:
            # Under its name only when it is whole: a host killed in between leaves no half a key.
            partial = self._path.with_name(self._path.name + ".partial")
            partial.unlink(missing_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
        return key
