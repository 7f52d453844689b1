# SPDX-License-Identifier: Apache-2.0
"""Whom a certificate names, once TLS has verified its chain."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import names


def certificate_to_member(der: bytes) -> names.MemberName:
    """Whom a certificate, verified elsewhere, names.

    :raises ValueError: it does not carry exactly one name of a member, or
        the peer id is not that of its public key
    """
    certificate = x509.load_der_x509_certificate(der)
    try:
        alternative = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except x509.ExtensionNotFound:
        raise ValueError('the certificate names nobody') from None
    entries = list(alternative)
    if len(entries) != 1 or not isinstance(entries[0], x509.DNSName):
        raise ValueError('the certificate has other names than one')
    name = names.text_to_member_name(entries[0].value)
    key = certificate.public_key()
    if (
        not isinstance(key, ed25519.Ed25519PublicKey)
        or names.peer_id(key.public_bytes_raw()) != name.peer_id
    ):
        raise ValueError(f'the certificate for {name} has another key')
    return name
