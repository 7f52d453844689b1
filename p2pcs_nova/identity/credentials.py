# SPDX-License-Identifier: Apache-2.0
"""The overlay's own view of a membership: what :mod:`gossip` wants.

Gossip knows no certificates: beside them a member has a credential of 122
bytes, signed by the same keys, with the same lifetime.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from gossip import credential as gossip_credential
from gossip.descriptor import Role
from gossip.identity import Identity
from gossip.seal import RingKeys
from p2pcs_nova.identity.store import Membership


def make_credential(
    signer_key: ed25519.Ed25519PrivateKey,
    root_key: bytes,
    overlay: str,
    certificate: x509.Certificate,
    role: Role,
) -> bytes:
    """The credential that says what the certificate says.

    :param signer_key: the key that signed the certificate
    :param root_key: the root's raw public key
    """
    key = certificate.public_key()
    assert isinstance(key, ed25519.Ed25519PublicKey)
    return gossip_credential.make_credential(
        signer_key,
        overlay=gossip_credential.overlay_id(overlay, root_key),
        public_key=key.public_bytes_raw(),
        role=role,
        not_before=int(certificate.not_valid_before_utc.timestamp()),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
    )


def membership_to_trust(membership: Membership) -> gossip_credential.Trust:
    """Whom this member's overlay believes."""
    root_key = membership.root_key
    return gossip_credential.Trust(
        gossip_credential.overlay_id(membership.overlay, root_key), root_key
    )


def membership_to_identity(
    membership: Membership,
    key: ed25519.Ed25519PrivateKey,
    request_port: int,
) -> Identity:
    """Our key and credentials, for a node of the overlay."""
    return Identity(
        key,
        membership.credential,
        membership.issuer_credential,
        request_port,
    )


def membership_to_ring(membership: Membership) -> RingKeys:
    """The keys that seal datagrams."""
    return RingKeys(membership.ring_keys)
