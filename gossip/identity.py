# SPDX-License-Identifier: Apache-2.0
"""Our own key, with what proves to others that it belongs here."""

import dataclasses
import functools

from cryptography.hazmat.primitives.asymmetric import ed25519

from gossip import credential as credentials
from gossip import descriptor


@dataclasses.dataclass(frozen=True)
class Identity:
    """A peer's key and credentials.

    :param issuer_credential: of the issuer that signed ``credential``;
        None if the root itself did
    :param request_port: TCP port on which this peer takes requests
    """

    private_key: ed25519.Ed25519PrivateKey
    credential: bytes
    issuer_credential: bytes | None
    request_port: int

    @functools.cached_property
    def public_key(self) -> bytes:
        """The raw 32 bytes of the public key."""
        return credentials.raw_public_key(self.private_key)

    @functools.cached_property
    def peer(self) -> descriptor.PeerId:
        """The peer id: digest of the public key."""
        return descriptor.peer_id(self.public_key)
