# SPDX-License-Identifier: Apache-2.0
"""Signatures under what peers say, each kind in its own domain.

A signature covers the domain, the overlay's id and the body's bytes as they
travel, so that a body signed as one thing is never taken for another, nor
in another overlay.
"""

import typing

from gossip import codec, messages
from gossip import credential as credentials
from gossip import identity as identities

_DOMAINS: dict[type[messages.Message], bytes] = {
    messages.Descriptor: b'gossip descriptor 1\0',
    messages.Claim: b'gossip claim 1\0',
    messages.Part: b'gossip part 1\0',
    messages.Revocation: b'gossip revocation 1\0',
}


class Signed(typing.NamedTuple):
    """A body as it travels, and the signature under it."""

    body: bytes
    signature: bytes


def sign(
    identity: identities.Identity, overlay: bytes, what: messages.Message
) -> Signed:
    """Sign a descriptor, a claim, a part or a revocation."""
    body = codec.encode_body(what)
    data = _DOMAINS[type(what)] + overlay + body
    return Signed(body, identity.private_key.sign(data))


def holds(
    trust: credentials.Trust,
    public_key: bytes,
    kind: type[messages.Message],
    signed: Signed,
) -> bool:
    """Whether the holder of the key has signed the body as this kind."""
    data = _DOMAINS[kind] + trust.overlay + signed.body
    return trust.verify(public_key, data, signed.signature)
