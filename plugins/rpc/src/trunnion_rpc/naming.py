"""Whose a certificate is: exactly one name in it counts, and only in the one form it can be written in.

Names follow SPIFFE (https://spiffe.io, "SPIFFE-ID" and "X509-SVID"): what could be read in two ways, such as capitals,
percent codes or dots for folders, is not read at all, so that names are equal if and only if their texts are.
"""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.x509.oid import NameOID

from trunnion_rpc.misfit import UNREADABLE, Misfit

SCHEME = "spiffe://"
LONGEST = 200
"""Characters of a principal's name."""

_domain = re.compile(r"[a-z0-9._-]{1,255}")
_segment = re.compile(r"[A-Za-z0-9._-]+")


def is_trust_domain(text: str) -> bool:
    """Whether a text is the name of a trust domain, as it has to be written."""
    return _domain.fullmatch(text) is not None


def principal_of(certificate: x509.Certificate, trust_domain: str | None) -> str:
    """The name in a certificate.

    Args:
        certificate: of a client.
        trust_domain: whose names count; None takes the common name of the subject instead.

    Raises:
        Misfit: it has none that counts, or several.
    """
    try:
        return _common_name(certificate) if trust_domain is None else _uri(certificate, trust_domain)
    except UNREADABLE as error:
        raise Misfit("malformed", f"its names cannot be read: {error}") from None


def _uri(certificate: x509.Certificate, trust_domain: str) -> str:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise Misfit("no_name", "it has no alternative name of type URI") from None
    names = found.get_values_for_type(x509.UniformResourceIdentifier)
    if not names:
        raise Misfit("no_name", "it has no alternative name of type URI")
    if len(names) > 1:
        raise Misfit("many_names", f"it has {len(names)} alternative names of type URI, where one alone counts")
    return _checked(names[0], trust_domain)


def _checked(name: str, trust_domain: str) -> str:
    """A name, if it is a SPIFFE id of a trust domain in the form it has to have."""
    shown = ascii(name[:LONGEST])
    domain, slash, path = name.removeprefix(SCHEME).partition("/")
    if not name.startswith(SCHEME) or not is_trust_domain(domain) or not slash:
        raise Misfit("bad_name", f"its name {shown} is not of the form {SCHEME}TRUST-DOMAIN/PATH")
    if not all(_segment.fullmatch(part) and part not in (".", "..") for part in path.split("/")):
        raise Misfit("bad_name", f"the path in its name {shown} is not of plain words between single slashes")
    if domain != trust_domain:
        raise Misfit("other_domain", f"its name {shown} is of another trust domain than {trust_domain}")
    if len(name) > LONGEST:
        raise Misfit("bad_name", f"its name {shown}… is longer than {LONGEST} characters")
    return name


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        many = len(names) > 1
        reason, text = ("many_names", "several common names") if many else ("no_name", "no common name")
        raise Misfit(reason, f"its subject has {text}, where one alone counts")
    name = str(names[0].value)
    if "://" in name:  # else it could pass for a name of the other kind
        raise Misfit("bad_name", f"its common name {name[:LONGEST]!a} is a URI")
    if not name or len(name) > LONGEST:
        raise Misfit("bad_name", f"its common name is not of 1 to {LONGEST} characters")
    return name
