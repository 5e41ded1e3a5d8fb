"""The table ``[rpc.tls]``: by which files the door and its clients know each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from trunnion import Json, JsonObject

Problem: TypeAlias = tuple[tuple[str, ...], str]


class TlsSettings(msgspec.Struct, frozen=True):
    """What the table says.

    Attributes:
        cert: file of the door's own certificate, with those between it and its authority.
        key: file of the key that belongs to it.
        client_ca: file of the authorities that vouch for clients, those between included.
        crl: files of what those authorities have revoked; with any, each authority needs one.
        identify: what says who a client is.
        principal: where in a certificate the name of a principal is.
        trust_domain: whose names count, where they are URIs.
        recheck: seconds after which files that have changed count, for open connections too.
    """

    cert: str
    key: str
    client_ca: str | None = None
    crl: tuple[str, ...] = ()
    identify: Literal["certificate", "token", "either"] = "certificate"
    principal: Literal["uri", "cn"] = "uri"
    trust_domain: str | None = None
    recheck: float = 5.0

    @property
    def files(self) -> tuple[str, ...]:
        """All that are named."""
        return (self.cert, self.key, *([self.client_ca] if self.client_ca is not None else []), *self.crl)

    @property
    def certificates_count(self) -> bool:
        """Whether clients may show one."""
        return self.identify != "token"

    @property
    def tokens_count(self) -> bool:
        """Whether clients may show one."""
        return self.identify != "certificate"


def _file(description: str) -> JsonObject:
    return {"type": "string", "format": "path", "minLength": 1, "description": description}


TLS_SCHEMA: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "required": ["cert", "key"],
    "description": "TLS for all addresses and ports in `listen`; needed where other machines reach one",
    "properties": {
        "cert": _file("The door's own certificate in PEM, then those between it and its authority"),
        "key": _file("The key that belongs to it, without a password; nobody else may read the file"),
        "client_ca": _file("Certificates of the authorities, in PEM, that vouch for clients"),
        "crl": {
            "type": "array",
            "items": {"type": "string", "format": "path", "minLength": 1},
            "uniqueItems": True,
            "default": [],
            "description": "What those authorities have revoked, in PEM or DER; if any is named, each authority needs "
            "one that is up to date",
        },
        "identify": {
            "type": "string",
            "enum": ["certificate", "token", "either"],
            "default": "certificate",
            "description": "What says who a client is: its certificate, which then every client needs; a token of the "
            "host, without certificates; or either of them, where a token that is shown counts",
        },
        "principal": {
            "type": "string",
            "enum": ["uri", "cn"],
            "default": "uri",
            "description": "Which name in a certificate is that of the principal: the one URI (SPIFFE) among its "
            "alternative names, or the common name of its subject",
        },
        "trust_domain": {
            "type": "string",
            "minLength": 1,
            "description": "Whose URIs count: DOMAIN in spiffe://DOMAIN/path",
        },
        "recheck": {
            "type": "number",
            "minimum": 0.1,
            "maximum": 3600,
            "default": 5,
            "description": "Seconds after which files that were changed are read again, and open connections end whose "
            "certificate has expired or was revoked",
        },
    },
}
"""The table; its defaults are those of ``TlsSettings``, which a test compares."""


def tls_problems(table: Json) -> Iterable[Problem]:
    """What a schema cannot say: what has to go together."""
    from trunnion_rpc.naming import is_trust_domain

    if not isinstance(table, dict):
        return
    tls = msgspec.convert(table, TlsSettings)
    if tls.certificates_count and tls.client_ca is None:
        yield ("client_ca",), f'identify = "{tls.identify}" needs the authorities that vouch for clients: client_ca'
    if not tls.certificates_count and (tls.client_ca is not None or tls.crl):
        yield (
            ("client_ca" if tls.client_ca is not None else "crl",),
            ('no client shows a certificate where identify = "token": leave it out, or say identify = "either"'),
        )
    if tls.trust_domain is not None and not is_trust_domain(tls.trust_domain):
        yield ("trust_domain",), f"{tls.trust_domain!r} is no trust domain, which has a-z, 0-9, dots, - and _ alone"
    if tls.certificates_count and tls.principal == "uri" and tls.trust_domain is None:
        yield ("trust_domain",), "say whose URIs count, as DOMAIN in spiffe://DOMAIN/path"
