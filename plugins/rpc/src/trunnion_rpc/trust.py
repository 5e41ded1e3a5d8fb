"""The files of ``[rpc.tls]``, read and seen to fit together, or refused as a whole."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from trunnion import InvalidConfig
from trunnion.config.data_dir import check_private
from trunnion_rpc.certificates import Judges, Revocations
from trunnion_rpc.misfit import UNREADABLE
from trunnion_rpc.tls_settings import TlsSettings

LARGEST = 16 << 20
"""Bytes of one file."""

SOON = datetime.timedelta(days=7)
"""Before the end of the door's own certificate there should be another one; sooner for one that is short."""

Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class Trust(NamedTuple):
    """What the door proves itself with, and whom it believes.

    Attributes:
        context: for new connections.
        judges: of those there are.
        ends: when the door's own certificate does.
        renew: when there should be another one, at the latest.
        stamp: of the files it was made of.
    """

    context: ssl.SSLContext
    judges: Judges
    ends: datetime.datetime
    renew: datetime.datetime
    stamp: Stamp


def stamp_of(settings: TlsSettings) -> Stamp:
    """What changes with any of the files."""
    return tuple(_stamp(Path(file)) for file in settings.files)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def load_trust(settings: TlsSettings, now: datetime.datetime) -> Trust:
    """Read all files; takes milliseconds, in a thread.

    Raises:
        InvalidConfig: one cannot be read, is something else, does not fit the others, or changes just now.
    """
    try:
        return _loaded(settings, now)
    except (*UNREADABLE, ssl.SSLError) as error:
        raise InvalidConfig(f"rpc.tls: the files cannot be read: {error}") from None


def _loaded(settings: TlsSettings, now: datetime.datetime) -> Trust:
    stamp = stamp_of(settings)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a session that is taken up again would be one whose certificate nobody looks at
    context.set_alpn_protocols(["h2"])
    ends, renew = _own(context, settings, now)
    authorities: list[x509.Certificate] = []
    if settings.client_ca is not None:
        authorities = _authorities(settings.client_ca)
        context.load_verify_locations(cadata=b"".join(each.public_bytes(Encoding.DER) for each in authorities))
        context.verify_mode = ssl.CERT_REQUIRED if settings.identify == "certificate" else ssl.CERT_OPTIONAL
    revoked = _revoked(settings.crl, authorities) if settings.crl else None
    if stamp_of(settings) != stamp:
        raise InvalidConfig("rpc.tls: the files are being changed")
    known = frozenset(each.public_bytes(Encoding.DER) for each in authorities)
    return Trust(context, Judges(known, revoked), ends, renew, stamp)


def _own(
    context: ssl.SSLContext, settings: TlsSettings, now: datetime.datetime
) -> tuple[datetime.datetime, datetime.datetime]:
    """The door's own certificate and key; returns when the first of its chain ends, and should be renewed."""
    first = min(_certificates("cert", settings.cert), key=lambda each: each.not_valid_after_utc)
    ends = first.not_valid_after_utc
    if ends <= now:
        raise InvalidConfig(f"rpc.tls.cert: {settings.cert} has expired, on {ends:%Y-%m-%d at %H:%M} UTC")
    _read("key", settings.key)
    check_private(Path(settings.key))
    try:
        context.load_cert_chain(settings.cert, settings.key, password=lambda: "")
    except ssl.SSLError as error:
        raise InvalidConfig(_why(settings, error)) from None
    return ends, ends - min(SOON, (ends - first.not_valid_before_utc) / 5)


def _why(settings: TlsSettings, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"rpc.tls.key: {settings.key} does not belong to the certificate in {settings.cert}"
    if error.reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return f"rpc.tls.cert: {settings.cert} is too weak for any client: {error.reason}"
    return (
        f"rpc.tls.key: {settings.key} is no key in PEM without a password ({error.reason}); "
        f"openssl pkey -in OLD -out NEW makes one of a key that has one"
    )


def _authorities(file: str) -> list[x509.Certificate]:
    found = _certificates("client_ca", file)
    for each in found:
        try:
            is_authority = each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (x509.ExtensionNotFound, *UNREADABLE):
            is_authority = False
        if not is_authority:
            name = each.subject.rfc4514_string() or "one without a name"
            raise InvalidConfig(f"rpc.tls.client_ca: in {file}, {name} is not the certificate of an authority")
    return found


def _certificates(key: str, file: str) -> list[x509.Certificate]:
    data = _read(key, file)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise InvalidConfig(f"rpc.tls.{key}: {file} has no certificates in PEM: {error}") from None


def _read(key: str, file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(LARGEST + 1)
    except OSError as error:
        raise InvalidConfig(f"rpc.tls.{key}: cannot read {file}: {error.strerror}") from None
    if len(data) > LARGEST:
        raise InvalidConfig(f"rpc.tls.{key}: {file} is larger than {LARGEST >> 20} MiB")
    return data


# -- what was revoked --------------------------------------------------------------------------------------------------

_BEGIN = b"-----BEGIN X509 CRL-----"


def _revoked(files: Sequence[str], authorities: Sequence[x509.Certificate]) -> dict[bytes, Revocations]:
    """What each authority has revoked; several lists of one count together, and the newest says until when."""
    found: dict[bytes, Revocations] = {}
    for file in files:
        for revocations in _lists(file):
            issuers = [each for each in authorities if _is_by(revocations, each)]
            if not issuers:
                name = revocations.issuer.rfc4514_string()
                raise InvalidConfig(f"rpc.tls.crl: {file} is by {name}, which is no authority in client_ca")
            for issuer in issuers:
                der = issuer.public_bytes(Encoding.DER)
                found[der] = _together(found.get(der), _said(file, revocations))
    return found


def _lists(file: str) -> list[x509.CertificateRevocationList]:
    data = _read("crl", file)
    try:
        if _BEGIN not in data:
            return [x509.load_der_x509_crl(data)]
        return [x509.load_pem_x509_crl(_BEGIN + part) for part in data.split(_BEGIN)[1:]]
    except ValueError as error:
        raise InvalidConfig(f"rpc.tls.crl: {file} is no revocation list in PEM or DER: {error}") from None


def _is_by(revocations: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    if not isinstance(
        key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
    ):
        return False
    return revocations.issuer == authority.subject and revocations.is_signature_valid(key)


def _said(file: str, revocations: x509.CertificateRevocationList) -> Revocations:
    try:
        unknown = [each.oid.dotted_string for each in revocations.extensions if each.critical]
        serials = frozenset(each.serial_number for each in revocations)
    except UNREADABLE as error:
        raise InvalidConfig(f"rpc.tls.crl: {file} cannot be read: {error}") from None
    if unknown:  # as lists have that are of some certificates only, or only of what has changed
        raise InvalidConfig(f"rpc.tls.crl: {file} is no whole list of an authority (extension {unknown[0]})")
    return Revocations(serials, revocations.next_update_utc)


def _together(one: Revocations | None, other: Revocations) -> Revocations:
    if one is None:
        return other
    until = None if one.until is None or other.until is None else max(one.until, other.until)
    return Revocations(one.serials | other.serials, until)
