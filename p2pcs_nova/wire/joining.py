# SPDX-License-Identifier: Apache-2.0
"""Tokens, and how a PC becomes a member."""

from __future__ import annotations

from typing import Annotated

import msgspec

from p2pcs_nova.wire.basics import (
    PeerId,
)


class JoinRequest(msgspec.Struct, frozen=True):
    """A PC that knows only its token asks its issuer for a certificate."""

    issuer: PeerId
    """Who made the token: any other daemon relays the request to it."""
    token_id: Annotated[str, msgspec.Meta(max_length=64)]
    proof: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    """HMAC-SHA256 by the token's secret over the request's other parts."""
    csr: Annotated[bytes, msgspec.Meta(max_length=4096)]
    """PKCS#10 in DER, signed by the PC's own new key."""
    name: Annotated[
        str, msgspec.Meta(pattern=r'^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z')
    ]
    """Host name of the PC: for people."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    """UDP and TCP port that the PC will listen on: dialled back."""
    wall_clock_s: float


class JoinAnswer(msgspec.Struct, frozen=True):
    """All that a new peer has to know."""

    overlay: str
    certificates: bytes
    """PEM chain: the PC's certificate, then the intermediate."""
    ca: bytes
    """PEM of the root: what the token's pin names."""
    credential: bytes
    issuer_credential: bytes
    ring_keys: dict[str, bytes]
    seeds: tuple[str, ...]


class JoinOffer(msgspec.Struct, frozen=True):
    """What the join listener says before anybody is trusted."""

    ca: bytes
    """PEM of the root: believed only if its digest is the token's pin."""
    wall_clock_s: float


class TokenRequest(msgspec.Struct, frozen=True):
    """The operator asks his gateway for a join token."""

    valid_s: Annotated[float, msgspec.Meta(ge=1, le=30 * 86400)] = 3600.0


class TokenAnswer(msgspec.Struct, frozen=True):
    """A join token in its text form: whoever has it may join once."""

    token: str


class RingKey(msgspec.Struct, frozen=True):
    """One of the keys that seal the overlay's datagrams."""

    number: Annotated[int, msgspec.Meta(ge=0, le=255)]
    key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Ring(msgspec.Struct, frozen=True):
    """A gateway's ring keys, for who belongs to the overlay."""

    keys: Annotated[
        tuple[RingKey, ...], msgspec.Meta(min_length=1, max_length=8)
    ]
    """Oldest first."""
