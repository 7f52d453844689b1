# SPDX-License-Identifier: Apache-2.0
"""Certificates: who signs what.

::

    root (offline)      signs   gateways, and one issuer for each gateway
    issuer (a gateway)  signs   peers, and nothing else: its certificate is
                                constrained to names under
                                ``peer.<overlay>.p2pcs``

A certificate says exactly one thing, the :class:`MemberName`; of a request
only the public key is used, whatever else it asks for.  Nothing here reads
a clock or a file.
"""

from __future__ import annotations

import datetime
import hashlib

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from p2pcs_nova import errors, names

ROOT_LIFETIME = datetime.timedelta(days=3650)
GATEWAY_LIFETIME = datetime.timedelta(days=730)
PEER_LIFETIME = datetime.timedelta(days=365)
BACKDATED = datetime.timedelta(minutes=5)
"""A certificate is good at once on a machine whose clock is a bit late."""

_SIGNATURE_ONLY = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_CERTIFICATES_ONLY = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def make_root(
    key: ed25519.Ed25519PrivateKey, overlay: str, now: datetime.datetime
) -> x509.Certificate:
    """The self-signed certificate that every member trusts."""
    subject = _subject(f'root of {names.check_overlay(overlay)}')
    return _authority(
        _builder(subject, subject, key.public_key(), now, ROOT_LIFETIME),
        key.public_key(),
        key.public_key(),
        path_length=1,
    ).sign(key, None)


def make_issuer(
    root_key: ed25519.Ed25519PrivateKey,
    root: x509.Certificate,
    public_key: ed25519.Ed25519PublicKey,
    overlay: str,
    now: datetime.datetime,
) -> x509.Certificate:
    """A gateway's intermediate authority: it can sign peers only."""
    holder = names.peer_id(public_key.public_bytes_raw())
    builder = _authority(
        _builder(
            _subject(f'issuer {holder} of {overlay}'),
            root.subject,
            public_key,
            now,
            GATEWAY_LIFETIME,
            root,
        ),
        public_key,
        root_key.public_key(),
        path_length=0,
    )
    return builder.add_extension(
        x509.NameConstraints(
            permitted_subtrees=[
                x509.DNSName(f'{names.PEER}.{overlay}.{names.DOMAIN}')
            ],
            excluded_subtrees=None,
        ),
        critical=True,
    ).sign(root_key, None)


def make_member(
    signer_key: ed25519.Ed25519PrivateKey,
    signer: x509.Certificate,
    public_key: ed25519.Ed25519PublicKey,
    role: str,
    overlay: str,
    now: datetime.datetime,
) -> x509.Certificate:
    """The certificate of one member, not outliving its signer's.

    The caller decides on the role; a certificate for another role than
    peer is worthless unless the root signs it.
    """
    name = names.MemberName(
        names.peer_id(public_key.public_bytes_raw()), role, overlay
    )
    lifetime = PEER_LIFETIME if role == names.PEER else GATEWAY_LIFETIME
    builder = _builder(
        _subject(name.peer_id),
        signer.subject,
        public_key,
        now,
        lifetime,
        signer,
    )
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_SIGNATURE_ONLY, True),
        (
            x509.ExtendedKeyUsage(
                [
                    ExtendedKeyUsageOID.SERVER_AUTH,
                    ExtendedKeyUsageOID.CLIENT_AUTH,
                ]
            ),
            False,
        ),
        (x509.SubjectAlternativeName([x509.DNSName(str(name))]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        (_authority_key(signer_key.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer_key, None)


def make_request(key: ed25519.Ed25519PrivateKey) -> bytes:
    """A PKCS#10 request in DER: the key and the proof that it is ours."""
    builder = x509.CertificateSigningRequestBuilder(
        _subject(names.peer_id(key.public_key().public_bytes_raw()))
    )
    return builder.sign(key, None).public_bytes(serialization.Encoding.DER)


def request_to_key(der: bytes) -> ed25519.Ed25519PublicKey:
    """The public key of a request, whose holder has signed it.

    Subject, names and extensions that the request asks for are not read.

    :raises Malformed: not a request, not Ed25519, or the signature is not
        by this key
    """
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
        valid = request.is_signature_valid
    except (ValueError, exceptions.UnsupportedAlgorithm) as error:
        raise errors.Malformed(f'certificate request: {error}') from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise errors.Malformed('certificate request: not an Ed25519 key')
    if not valid:
        raise errors.Malformed('certificate request: not signed by its key')
    return key


def to_pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as PEM, in this order."""
    return b''.join(
        certificate.public_bytes(serialization.Encoding.PEM)
        for certificate in certificates
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER form, as hexadecimal text: what a token pins."""
    der = certificate.public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ed25519.Ed25519PublicKey,
    now: datetime.datetime,
    lifetime: datetime.timedelta,
    signer: x509.Certificate | None = None,
) -> x509.CertificateBuilder:
    begin, end = now - BACKDATED, now + lifetime
    if signer is not None:
        begin = max(begin, signer.not_valid_before_utc)
        end = min(end, signer.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _authority(
    builder: x509.CertificateBuilder,
    public_key: ed25519.Ed25519PublicKey,
    signer: ed25519.Ed25519PublicKey,
    path_length: int,
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=path_length),
            critical=True,
        )
        .add_extension(_CERTIFICATES_ONLY, critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public_key),
            critical=False,
        )
        .add_extension(_authority_key(signer), critical=False)
    )


def _authority_key(
    signer: ed25519.Ed25519PublicKey,
) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer)
