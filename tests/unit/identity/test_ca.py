# SPDX-License-Identifier: Apache-2.0
"""Certificates: what they say, and what is not signed."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from p2pcs_nova import errors, names
from p2pcs_nova.identity import ca
from p2pcs_nova.transport.certificate import certificate_to_member

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture
def root_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def root(root_key: ed25519.Ed25519PrivateKey) -> x509.Certificate:
    return ca.make_root(root_key, 'lab', NOW)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def test_a_member_is_named_by_its_own_key(
    root_key: ed25519.Ed25519PrivateKey, root: x509.Certificate
) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    certificate = ca.make_member(
        root_key, root, key.public_key(), 'gateway', 'lab', NOW
    )
    name = certificate_to_member(der(certificate))
    raw = key.public_key().public_bytes_raw()
    assert name == names.MemberName(names.peer_id(raw), 'gateway', 'lab')
    certificate.verify_directly_issued_by(root)


def test_lifetimes_are_backdated_and_end_with_the_signers(
    root_key: ed25519.Ed25519PrivateKey,
) -> None:
    root = ca.make_root(root_key, 'lab', NOW)
    assert root.not_valid_before_utc == NOW - ca.BACKDATED
    assert root.not_valid_after_utc == NOW + ca.ROOT_LIFETIME
    late = NOW + ca.ROOT_LIFETIME - datetime.timedelta(days=1)
    member = ca.make_member(
        root_key, root, root_key.public_key(), 'peer', 'lab', late
    )
    assert member.not_valid_after_utc == root.not_valid_after_utc


def test_an_issuer_may_sign_peers_of_its_overlay_only(
    root_key: ed25519.Ed25519PrivateKey, root: x509.Certificate
) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    issuer = ca.make_issuer(root_key, root, key.public_key(), 'lab', NOW)
    constraints = issuer.extensions.get_extension_for_class(
        x509.NameConstraints
    )
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [
        x509.DNSName('peer.lab.p2pcs')
    ]
    basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.value.path_length == 0


def test_of_a_request_only_the_key_is_used() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    request = (
        x509.CertificateSigningRequestBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, 'gateway')])
        )
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(f'{"0" * 32}.gateway.lab.p2pcs')]
            ),
            critical=False,
        )
        .add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        .sign(key, None)
    )
    read = ca.request_to_key(request.public_bytes(Encoding.DER))
    assert read.public_bytes_raw() == key.public_key().public_bytes_raw()


def test_a_request_must_be_signed_by_its_key() -> None:
    good = ca.make_request(ed25519.Ed25519PrivateKey.generate())
    broken = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(errors.Malformed, match='not signed by its key'):
        ca.request_to_key(broken)


def test_a_request_must_be_a_request_for_ed25519() -> None:
    with pytest.raises(errors.Malformed, match='certificate request'):
        ca.request_to_key(b'nonsense')
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(
        key, SHA256()
    )
    with pytest.raises(errors.Malformed, match='not an Ed25519 key'):
        ca.request_to_key(request.public_bytes(Encoding.DER))


def make_named(
    root_key: ed25519.Ed25519PrivateKey, *general: x509.GeneralName
) -> bytes:
    """A certificate of the root's key with these names."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(root_key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + ca.PEER_LIFETIME)
    )
    if general:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(general), critical=False
        )
    return der(builder.sign(root_key, None))


def test_a_certificate_with_another_name_names_nobody(
    root_key: ed25519.Ed25519PrivateKey,
) -> None:
    own = names.peer_id(root_key.public_key().public_bytes_raw())
    good = x509.DNSName(f'{own}.peer.lab.p2pcs')
    assert certificate_to_member(make_named(root_key, good))
    for general in (
        (),
        (good, good),
        (x509.RFC822Name('a@lab.p2pcs'),),
        (x509.DNSName('*.peer.lab.p2pcs'),),
        (x509.DNSName(f'{own}.root.lab.p2pcs'),),
        (x509.DNSName(f'{own}.peer.lab.p2pcs.example'),),
        (x509.DNSName(f'{"0" * 32}.peer.lab.p2pcs'),),
    ):
        with pytest.raises(ValueError):
            certificate_to_member(make_named(root_key, *general))


@pytest.mark.parametrize(
    'name', ['', '-a', 'a-', 'A', 'a.b', 'a' * 33, 'ä', 'a b']
)
def test_a_bad_overlay_name_is_refused(
    name: str, root_key: ed25519.Ed25519PrivateKey
) -> None:
    with pytest.raises(ValueError, match='cannot name an overlay'):
        ca.make_root(root_key, name, NOW)
