# SPDX-License-Identifier: Apache-2.0
"""Signing and opening run rights: gateway and PC share the bytes.

The signature covers a prefix that belongs to run rights alone, so that
nothing else that a gateway signs with the same key can pass for one.
"""

from __future__ import annotations

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import errors, wire

PREFIX = b'p2pcs run right 1\0'


def sign_run_right(
    right: wire.RunRight, key: ed25519.Ed25519PrivateKey, signer: str
) -> wire.Signed:
    """The gateway's word, as it travels.

    :param signer: peer id of the gateway whose key this is
    """
    payload = msgspec.json.encode(right)
    return wire.Signed(payload, signer, key.sign(PREFIX + payload))


def open_run_right(signed: wire.Signed, public_key: bytes) -> wire.RunRight:
    """What the gateway of this key (raw, 32 bytes) has said.

    :raises BadRunRight: another key signed it, or it is no run right
    """
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(signed.signature, PREFIX + signed.payload)
    except (InvalidSignature, ValueError):
        raise errors.BadRunRight(
            f'gateway {signed.signer} did not sign this run right'
        ) from None
    try:
        return msgspec.json.decode(signed.payload, type=wire.RunRight)
    except (ValueError, RecursionError) as error:
        raise errors.BadRunRight(f'not a run right: {error}') from None
