"""What a chain of certificates that was verified says, and whether it still counts.

OpenSSL has seen to signatures, dates and purposes when the connection was made. What it does not ask, and what may
change while a connection lasts, is judged here; without I/O.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from trunnion_rpc.misfit import UNREADABLE, Misfit
from trunnion_rpc.naming import principal_of

E = TypeVar("E", bound=x509.ExtensionType)
SHORTEST_RSA, SHORTEST_EC = 2048, 256
"""Bits."""

_BROKEN_HASHES = frozenset({"md5", "sha1"})


class Link(NamedTuple):
    """One certificate of a chain.

    Attributes:
        der: the whole of it.
        serial: what its authority calls it.
        begins, ends: when it counts.
    """

    der: bytes
    serial: int
    begins: datetime.datetime
    ends: datetime.datetime


class Shown(NamedTuple):
    """What a client showed.

    Attributes:
        principal: the name in its certificate.
        fingerprint: the SHA-256 of its certificate, as hex digits.
        chain: from its certificate to an authority's.
    """

    principal: str
    fingerprint: str
    chain: tuple[Link, ...]

    @property
    def ends(self) -> datetime.datetime:
        """When the first of the chain does."""
        return min(link.ends for link in self.chain)


class Revocations(NamedTuple):
    """What an authority has taken back.

    Attributes:
        serials: of its certificates.
        until: when it will have said so anew; None for never.
    """

    serials: frozenset[int]
    until: datetime.datetime | None


class Judges(NamedTuple):
    """By what chains are judged.

    Attributes:
        authorities: certificates of authorities that may vouch for clients.
        revoked: by the certificate of the authority; None where nothing is ever taken back.
    """

    authorities: frozenset[bytes]
    revoked: Mapping[bytes, Revocations] | None


def read_chain(chain: Sequence[bytes], trust_domain: str | None) -> Shown:
    """What a chain says, that was verified just now.

    Args:
        chain: certificates as DER, the client's own first.
        trust_domain: see ``principal_of``.

    Raises:
        Misfit: it is not of a client, or has no name that counts.
    """
    try:
        certificates = [x509.load_der_x509_certificate(der) for der in chain]
        _require_client(certificates[0])
        for certificate in certificates:
            _require_strong_key(certificate)
        for certificate in certificates[:-1]:  # the last one is trusted for what it is, not for its signature
            _require_strong_signature(certificate)
        links = tuple(map(_link, certificates))
    except UNREADABLE as error:
        raise Misfit("malformed", f"it cannot be read: {error}") from None
    return Shown(principal_of(certificates[0], trust_domain), fingerprint_of(chain[0]), links)


def fingerprint_of(der: bytes) -> str:
    """The SHA-256 of a certificate, as hex digits."""
    return hashlib.sha256(der).hexdigest()


def _link(certificate: x509.Certificate) -> Link:
    der = certificate.public_bytes(Encoding.DER)
    return Link(der, certificate.serial_number, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _require_client(leaf: x509.Certificate) -> None:
    """See to it that a certificate is one of a client, and not of an authority or a server alone."""
    constraints = _extension(leaf, x509.BasicConstraints)
    usage = _extension(leaf, x509.KeyUsage)
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if constraints is not None and constraints.ca:
        raise Misfit("authority", "it is that of an authority, which is no client")
    if usage is not None and (usage.key_cert_sign or usage.crl_sign):
        raise Misfit("authority", "its key may sign certificates or lists of them, which that of a client may not")
    if usage is not None and not usage.digital_signature:
        raise Misfit("wrong_usage", "its key may not sign, which is how a client proves that it has it")
    if purposes is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        raise Misfit("wrong_usage", "it is not one for clients, by its extended key usage")


def _require_strong_key(certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    strong = (
        (isinstance(key, rsa.RSAPublicKey) and key.key_size >= SHORTEST_RSA)
        or (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size >= SHORTEST_EC)
        or isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
    )
    if not strong:
        raise Misfit("weak_key", f"a key in its chain is too weak: RSA needs {SHORTEST_RSA} bits, ECDSA {SHORTEST_EC}")


def _require_strong_signature(certificate: x509.Certificate) -> None:
    broken = certificate.signature_hash_algorithm
    if broken is not None and broken.name in _BROKEN_HASHES:
        raise Misfit("weak_signature", f"a certificate in its chain is signed with {broken.name}, which can be forged")


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def require_standing(shown: Shown, judges: Judges, now: datetime.datetime) -> None:
    """See to it that a chain counts now.

    Raises:
        Misfit: it does not, or no longer.
    """
    for link in shown.chain:
        if link.ends <= now:
            raise Misfit("expired", "it has expired, or one of its authorities has")
        if link.begins > now:
            raise Misfit("not_yet_valid", "it is not valid yet, or one of its authorities is not")
    if shown.chain[-1].der not in judges.authorities:
        raise Misfit("unknown_authority", "its authority is not trusted here any more")
    if judges.revoked is None:
        return
    for link, issuer in zip(shown.chain, shown.chain[1:], strict=False):
        _require_not_revoked(link, judges.revoked.get(issuer.der), now)


def _require_not_revoked(link: Link, revocations: Revocations | None, now: datetime.datetime) -> None:
    if revocations is None:
        raise Misfit("no_revocations", "none of the revocation lists is of its authority")
    if revocations.until is not None and revocations.until <= now:
        raise Misfit("old_revocations", "the revocation list of its authority is out of date")
    if link.serial in revocations.serials:
        raise Misfit("revoked", "it was revoked")
