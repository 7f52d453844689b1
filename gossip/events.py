# SPDX-License-Identifier: Apache-2.0
"""What a node tells the program around it."""

import dataclasses
import typing

from gossip import descriptor


@dataclasses.dataclass(frozen=True)
class PeerJoined:
    """A peer is new to us, or is back after it had left."""

    member: descriptor.Member


@dataclasses.dataclass(frozen=True)
class PeerSuspected:
    """A peer did not answer; it has some seconds to refute."""

    member: descriptor.Member


@dataclasses.dataclass(frozen=True)
class PeerRecovered:
    """A peer that was suspected or had failed is alive."""

    member: descriptor.Member


@dataclasses.dataclass(frozen=True)
class PeerChanged:
    """A live peer has restarted, moved or renewed its credential."""

    member: descriptor.Member


@dataclasses.dataclass(frozen=True)
class PeerFailed:
    """A peer is held for dead; its records stay readable.

    May be the first word of a peer: we joined after it had died.
    """

    member: descriptor.Member


@dataclasses.dataclass(frozen=True)
class PeerLeft:
    """A peer left in order or may not be here; its records are gone."""

    peer: descriptor.PeerId


@dataclasses.dataclass(frozen=True)
class PeerRevoked:
    """A peer is put out for ever: store ``revocation`` durably.

    It may be our own. See :meth:`gossip.node.Node.restore`.
    """

    peer: descriptor.PeerId
    revocation: bytes


@dataclasses.dataclass(frozen=True)
class RevocationVoid:
    """A revocation that we told of counts for nothing.

    The root itself has signed its subject, which we did not know then.
    """

    peer: descriptor.PeerId


@dataclasses.dataclass(frozen=True)
class RecordChanged:
    """A peer says something new of itself; an empty payload deletes.

    A part that is gone because the peer has newer ones, more than are kept,
    is told of with an empty payload and the version that it had.
    """

    peer: descriptor.PeerId
    part: str
    payload: bytes
    version: descriptor.Version


@dataclasses.dataclass(frozen=True)
class NewsHeard:
    """A peer tells everybody something, once; maybe we ourselves.

    After a restart of ours it may come again.

    :param made_at: by the writer's clock, seconds since 1970
    """

    peer: descriptor.PeerId
    news_id: bytes
    payload: bytes
    made_at: int


@dataclasses.dataclass(frozen=True)
class BootRaised:
    """Others remember a later boot of ours: store this one durably."""

    boot: int


@dataclasses.dataclass(frozen=True)
class RingKeyUnknown:
    """Somebody seals with a ring key that we do not have.

    Told every ten seconds at most. Anybody can have sent that datagram.

    :param number: of the key, 0 to 255
    """

    number: int


@dataclasses.dataclass(frozen=True)
class IdentityContested:
    """Two live processes use one peer id: a disk has been cloned.

    Comes again, about every ``overtake_s``, for as long as both live.

    :param places: where the two are
    """

    peer: descriptor.PeerId
    places: tuple[descriptor.Address, descriptor.Address]


Event: typing.TypeAlias = (
    PeerJoined
    | PeerSuspected
    | PeerRecovered
    | PeerChanged
    | PeerFailed
    | PeerLeft
    | PeerRevoked
    | RevocationVoid
    | RecordChanged
    | NewsHeard
    | BootRaised
    | RingKeyUnknown
    | IdentityContested
)
