# SPDX-License-Identifier: Apache-2.0
"""Certificates by which an etcd and its clients know each other."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
LOOPBACK = x509.IPAddress(ipaddress.IPv4Address('127.0.0.1'))


@dataclasses.dataclass(frozen=True)
class Papers:
    """The files of one authority, of its server and of its client."""

    folder: pathlib.Path

    @property
    def ca(self) -> pathlib.Path:
        """By which each knows the other."""
        return self.folder / 'ca.pem'

    @property
    def client_certificate(self) -> pathlib.Path:
        """Of a gateway."""
        return self.folder / 'client.pem'

    @property
    def client_key(self) -> pathlib.Path:
        """Of a gateway."""
        return self.folder / 'client.key'

    def told(self) -> list[str]:
        """What etcd is started with, to demand a certificate."""
        return [
            '--cert-file', str(self.folder / 'server.pem'),
            '--key-file', str(self.folder / 'server.key'),
            '--trusted-ca-file', str(self.ca),
            '--client-cert-auth',
        ]  # fmt: skip


def make(folder: pathlib.Path) -> Papers:
    """A new authority, and what it has signed."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name('an authority')
    basic = x509.BasicConstraints(ca=True, path_length=0)
    root = (
        _builder(name, name, key.public_key())
        .add_extension(basic, critical=True)
        .sign(key, hashes.SHA256())
    )
    papers = Papers(folder)
    papers.ca.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    for who in ('server', 'client'):
        _sign(folder, who, name, key)
    return papers


def _sign(
    folder: pathlib.Path,
    who: str,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # etcd's JSON gateway asks etcd itself, by the server's certificate.
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if who == 'server':
        usage.append(ExtendedKeyUsageOID.SERVER_AUTH)
    certificate = (
        _builder(_name(who), issuer, key.public_key())
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(x509.SubjectAlternativeName([LOOPBACK]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    (folder / f'{who}.pem').write_bytes(certificate.public_bytes(encoding))
    (folder / f'{who}.key').write_bytes(
        key.private_bytes(
            encoding,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
