# SPDX-License-Identifier: Apache-2.0
"""Signatures under values that travel, each kind in its own domain.

A value signed as one thing is never taken for another.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import errors, names, wire

RUN_RIGHT = b'p2pcs run right 1\0'

KeyOf = Callable[[str], bytes | None]
"""The raw public key of a peer id; None for who may not sign this."""


class SignatureRefused(Exception):
    """Unknown signer, or the signature is not his under this domain."""


def sign(
    key: ed25519.Ed25519PrivateKey, domain: bytes, payload: bytes
) -> wire.Signed:
    """Sign bytes as what the domain says they are."""
    signer = names.peer_id(key.public_key().public_bytes_raw())
    return wire.Signed(payload, signer, key.sign(domain + payload))


def verify(signed: wire.Signed, domain: bytes, key_of: KeyOf) -> bytes:
    """The payload, if its signer has signed it as what the domain says.

    :param key_of: decides who may sign this; knows the keys from verified
        credentials
    :raises SignatureRefused: not so
    """
    raw = key_of(signed.signer)
    if raw is None:
        raise SignatureRefused(f'{signed.signer} may not sign this')
    if names.peer_id(raw) != signed.signer:
        raise SignatureRefused(f'{signed.signer} is not the id of its key')
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(
            signed.signature, domain + signed.payload
        )
    except (exceptions.InvalidSignature, ValueError):
        raise SignatureRefused(
            f'the signature is not by {signed.signer}'
        ) from None
    return signed.payload


def sign_run_right(
    key: ed25519.Ed25519PrivateKey, right: wire.RunRight
) -> wire.Signed:
    """A gateway's word that a peer runs an epoch of an instance."""
    return sign(key, RUN_RIGHT, msgspec.json.encode(right))


def verify_run_right(signed: wire.Signed, key_of: KeyOf) -> wire.RunRight:
    """What the run right says; the caller compares it with what is asked.

    :param key_of: answers for gateways only
    :raises BadRunRight: not signed by a gateway, or not a run right
    """
    try:
        payload = verify(signed, RUN_RIGHT, key_of)
        return msgspec.json.decode(payload, type=wire.RunRight)
    except SignatureRefused as error:
        raise errors.BadRunRight(f'run right: {error}') from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.BadRunRight(f'not a run right: {error}') from None
