"""Sealing: secrets at rest, encrypted with a key that only the data directory's owner can read.

AES-256-GCM (NIST SP 800-38D). Before the ciphertext stand the id of the key and a random 96-bit nonce; the
name of what the value belongs to is associated data, so that a sealed value cannot be moved to another name.

The key is changed in three steps, each of which leaves a directory that can be opened: the next key is
written beside the present one and seals from then on, everything is sealed anew, the next key takes the
present one's place. Stopped at any moment, ``rotating`` says that there is a change to be finished.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from pathlib import Path

from trunnion.access.key_file import Key, make_key, read_key, write_key
from trunnion.model.errors import TrunnionError, Unavailable

NONCE = 12
KEY_ID = 4


class Sealer:
    """Seals and opens small values. From any thread.

    Args:
        key_path: the key file; made (0600) when the first secret is sealed. None keeps the key in memory.
    """

    def __init__(self, key_path: Path | None) -> None:
        self._path = key_path
        self._present: Key | None = None
        self._next: Key | None = None
        self._lock = threading.Lock()

    def seal(self, owner: str, value: bytes) -> bytes:
        """Encrypt a value that belongs to ``owner``.

        Raises:
            TrunnionError: the key cannot be used; the message says what to do.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key, nonce = self._newest(), os.urandom(NONCE)
        return key.id + nonce + AESGCM(key.sealing).encrypt(nonce, value, owner.encode())

    def open(self, owner: str, sealed: bytes) -> bytes:
        """Decrypt what ``seal`` made for the same owner.

        Raises:
            Unavailable: the key is missing or another one, or the bytes were changed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._key_of(owner, sealed[:KEY_ID])
        nonce, ciphertext = sealed[KEY_ID : KEY_ID + NONCE], sealed[KEY_ID + NONCE :]
        try:
            return AESGCM(key.sealing).decrypt(nonce, ciphertext, owner.encode())
        except (InvalidTag, ValueError):
            raise Unavailable(
                f"what is sealed for {owner} was changed or belongs elsewhere: it is refused. Give the secret again"
            ) from None

    def digest(self, value: bytes) -> str:
        """A keyed digest (HMAC-SHA256), so that short secrets cannot be guessed from it.

        It stays the same when the key is changed.
        """
        return hmac.new(self._newest().digesting, value, hashlib.sha256).hexdigest()

    # -- changing the key -------------------------------------------------------------------------

    @property
    def rotating(self) -> bool:
        """Whether a change of the key was begun and not finished."""
        return self._next is not None or (self._path is not None and self._next_path.exists())

    def begin_rotation(self) -> None:
        """Have a new key seal from now on; the present one still opens. One that was begun is gone on with."""
        with self._lock:
            self._load()
            if self._next is None:
                self._present = self._present or self._make()
                key = make_key(self._present.digesting)
                if self._path is not None:
                    write_key(self._next_path, key)
                self._next = key  # it seals from now on, so it is on the disk by now

    def is_old(self, sealed: bytes) -> bool:
        """Whether a value is not sealed with the newest key."""
        return sealed[:KEY_ID] != self._newest().id

    def finish_rotation(self) -> None:
        """Drop the old key: nothing is sealed with it any more."""
        with self._lock:
            if self._next is not None and self._path is not None:
                write_key(self._path, self._next)
                self._next_path.unlink(missing_ok=True)
            self._present, self._next = self._next or self._present, None

    # -- keys -------------------------------------------------------------------------------------

    @property
    def _next_path(self) -> Path:
        assert self._path is not None
        return self._path.with_name(self._path.name + ".next")

    def _newest(self) -> Key:
        if self._next is None and self._present is None:
            with self._lock:
                self._load()
                if self._next is None and self._present is None:
                    self._present = self._make()
        key = self._next or self._present
        assert key is not None
        return key

    def _key_of(self, owner: str, key_id: bytes) -> Key:
        with self._lock:
            self._load()
            found = next((key for key in (self._next, self._present) if key is not None and key.id == key_id), None)
            if found is None:
                raise self._wrong_key(owner, key_id)
            return found

    def _load(self) -> None:
        if self._path is not None and self._present is None and self._next is None:
            self._present, self._next = read_key(self._path), read_key(self._next_path)

    def _make(self) -> Key:
        key = make_key()
        if self._path is not None:
            write_key(self._path, key)
        return key

    def _wrong_key(self, owner: str, key_id: bytes) -> TrunnionError:
        there = f"has the key {self._present.id.hex()}" if self._present is not None else "is not there"
        return Unavailable(
            f"what is sealed for {owner} needs the key {key_id.hex()}, but {self._path} {there}: "
            "put back the file that belongs to this data directory, or give the secret again",
            {"key": key_id.hex()},
        )
