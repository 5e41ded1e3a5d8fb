"""The keys that sign: made at the first start, changed with the old one vouching for the new one."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from stat import S_IMODE
from typing import TYPE_CHECKING

import msgspec

from trunnion_audit.files import remove, replace_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEYS = "keys.json"
SALT = "salt.key"
SALT_BYTES = 32


class KeyProblem(Exception):
    """A key cannot be used; the message says which and why."""


class KeyEntry(msgspec.Struct, frozen=True):
    """A public key, and the line of the record that brought it in."""

    id: str
    public: str
    record: str


class KeyFile(msgspec.Struct, frozen=True):
    """The public keys of a log, oldest first."""

    host_id: str
    keys: tuple[KeyEntry, ...]
    v: int = 1


class SigningKey:
    """A private key.

    Args:
        private: the key itself.
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._private = private
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = public.hex()
        self.id = key_id(public)

    @classmethod
    def make(cls) -> SigningKey:
        """A new one."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    def sign(self, data: bytes) -> str:
        """The signature over some bytes, as hex digits."""
        return self._private.sign(data).hex()

    def save(self, folder: Path) -> None:
        """Keep it, for its owner alone, on the disk when this returns."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        pem = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        replace_whole(folder / key_name(self.id), pem)


def key_id(public: bytes) -> str:
    """The id of a public key."""
    return sha256(public).hexdigest()[:16]


def key_name(key: str) -> str:
    """The name of the file of a private key."""
    return f"key-{key}.pem"


def load_key(folder: Path, key: str) -> SigningKey:
    """A private key by its id.

    Raises:
        KeyProblem: it is not there, cannot be read, or is another one.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = folder / key_name(key)
    try:
        mode = path.stat().st_mode
        private = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyProblem(f"the signing key {path} cannot be read: {error}") from error
    if mode & 0o077:
        text = f"the signing key {path} is open to others (mode {S_IMODE(mode):04o})"
        raise KeyProblem(f"{text}: give it mode 0600, and rotate the key if somebody may have read it")
    if not isinstance(private, Ed25519PrivateKey) or (found := SigningKey(private)).id != key:
        raise KeyProblem(f"{path} holds another key than its name says")
    return found


def forget_key(folder: Path, key: str) -> None:
    """Remove a private key that signs no more."""
    remove(folder / key_name(key))


def read_keys(folder: Path) -> KeyFile | None:
    """The public keys; None where there are none yet.

    Raises:
        KeyProblem: the file cannot be read.
    """
    path = folder / KEYS
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeyFile)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise KeyProblem(f"the list of public keys {path} cannot be read: {error}") from error


def write_keys(folder: Path, host_id: str, keys: Sequence[KeyEntry]) -> None:
    """Keep the public keys."""
    data = msgspec.json.encode(KeyFile(host_id, tuple(keys)), order="sorted")
    replace_whole(folder / KEYS, data + b"\n")


def is_secret(path: Path) -> bool:
    """Whether a file can be the secret of the salts of a log."""
    try:
        return len(path.read_bytes()) == SALT_BYTES
    except OSError:
        return False


class Salts:
    """Makes the salts of commitments: each can be disclosed without saying anything of another.

    Until they are taken from a log they are of no use to anybody: a receipt could not show them again.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(SALT_BYTES)

    def take(self, folder: Path) -> None:
        """Go by the secret of a log, made at its first start.

        Raises:
            KeyProblem: the file is there and cannot be used.
        """
        path = folder / SALT
        try:
            secret = path.read_bytes()
        except FileNotFoundError:
            secret = self._secret
            replace_whole(path, secret)
        except OSError as error:
            raise KeyProblem(
                f"the secret of the salts {path} cannot be read: {os.strerror(error.errno or 0)}"
            ) from error
        if len(secret) != SALT_BYTES:
            raise KeyProblem(f"the secret of the salts {path} has {len(secret)} bytes, not {SALT_BYTES}")
        self._secret = secret

    def salt(self, field: str, run: str) -> bytes:
        """The salt of one commitment of one run, 32 bytes."""
        return hmac.digest(self._secret, f"{field} {run}".encode(), "sha256")

    def commit(self, field: str, run: str, data: bytes) -> str:
        """The commitment to some bytes, as hex digits."""
        return sha256(self.salt(field, run) + data).hexdigest()
