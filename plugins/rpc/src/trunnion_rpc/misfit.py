"""What is wrong with a certificate or a connection."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What reading a part of a certificate may raise: its parts are looked at when they are asked for."""


class Misfit(Exception):
    """Something that a client showed is not accepted.

    Attributes:
        reason: a stable word, for records.
        text: a sentence about the certificate, for the operator. The client is never told it.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
