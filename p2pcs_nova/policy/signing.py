# SPDX-License-Identifier: Apache-2.0
"""Whose word a policy or an era is: the root's; a slice map: a gateway's.

Each signature covers a prefix of its own, so that nothing else that is
signed by the same key can pass for it.
"""

from __future__ import annotations

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import errors, wire
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.document import Policy
from p2pcs_nova.policy.words import PolicyError

POLICY_PREFIX = b'p2pcs policy 1\0'
MAP_PREFIX = b'p2pcs slice map 1\0'
ERA_PREFIX = b'p2pcs era 1\0'


def sign_policy(
    text: str, root_key: ed25519.Ed25519PrivateKey
) -> wire.SignedPolicy:
    """The admin's word, as it travels."""
    return wire.SignedPolicy(
        text, root_key.sign(POLICY_PREFIX + text.encode())
    )


def open_policy(signed: wire.SignedPolicy, root_key: bytes) -> Policy:
    """What the root of this key (raw, 32 bytes) has signed.

    :raises BadPolicy: another key signed it, or it is no policy
    """
    if not _holds(
        root_key, POLICY_PREFIX + signed.text.encode(), signed.signature
    ):
        raise errors.BadPolicy(
            "this policy is not signed by the key of the overlay's root: "
            '`p2pcs-manage policy apply --ca-dir DIR` signs'
        )
    try:
        return reading.read_policy(signed.text, is_new=False)
    except PolicyError as error:
        raise errors.BadPolicy(str(error)) from None


def sign_era(
    era: wire.Era, root_key: ed25519.Ed25519PrivateKey
) -> wire.SignedEra:
    """The admin's word, as it travels."""
    payload = msgspec.json.encode(era)
    return wire.SignedEra(payload, root_key.sign(ERA_PREFIX + payload))


def open_era(signed: wire.SignedEra, root_key: bytes) -> wire.Era:
    """What the root of this key (raw, 32 bytes) has signed.

    :raises BadPolicy: another key signed it, or it is no era
    """
    if not _holds(root_key, ERA_PREFIX + signed.payload, signed.signature):
        raise errors.BadPolicy(
            "this era is not signed by the key of the overlay's root: "
            '`p2pcs-manage era raise --ca-dir DIR` signs'
        )
    try:
        return msgspec.json.decode(signed.payload, type=wire.Era)
    except wire.UNDECODABLE as error:
        raise errors.BadPolicy(f'not an era: {error}') from None


def sign_map(
    slices: wire.SliceMap, key: ed25519.Ed25519PrivateKey, signer: str
) -> wire.Signed:
    """A gateway's word, as it travels.

    :param signer: peer id of the gateway whose key this is
    """
    payload = msgspec.json.encode(slices)
    return wire.Signed(payload, signer, key.sign(MAP_PREFIX + payload))


def open_map(signed: wire.Signed, public_key: bytes) -> wire.SliceMap:
    """What the gateway of this key (raw, 32 bytes) has signed.

    :raises BadPolicy: another key signed it, or it is no slice map
    """
    if not _holds(public_key, MAP_PREFIX + signed.payload, signed.signature):
        raise errors.BadPolicy(
            f'gateway {signed.signer} did not sign this slice map'
        )
    return read_map(signed)


def read_map(signed: wire.Signed) -> wire.SliceMap:
    """What somebody has signed, unverified.

    :raises BadPolicy: it is no slice map
    """
    try:
        return msgspec.json.decode(signed.payload, type=wire.SliceMap)
    except wire.UNDECODABLE as error:
        raise errors.BadPolicy(f'not a slice map: {error}') from None


def _holds(public_key: bytes, data: bytes, signature: bytes) -> bool:
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public_key).verify(
            signature, data
        )
    except (InvalidSignature, ValueError):
        return False
    return True
