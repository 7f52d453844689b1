# SPDX-License-Identifier: Apache-2.0
"""What peers say to each other.

A message is a MessagePack array. Fields are only ever appended, each with a
default; a reader ignores those it does not know. What is signed travels as
the bytes that were signed, so that unknown fields pass through us unharmed.

What we accept we may have to pass on, so every item has a bound such that
the longest letters fit into a datagram: a Hello with what we hold of its
reader (an issuer and two members, one with a claim), and an answer to an
exchange (Bulk and one record).
"""

import typing

import msgspec

_U16 = typing.Annotated[int, msgspec.Meta(ge=0, lt=2**16)]
_U32 = typing.Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
_U48 = typing.Annotated[int, msgspec.Meta(ge=0, lt=2**48)]
_U64 = typing.Annotated[int, msgspec.Meta(ge=0)]
_Peer = typing.Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_EightBytes = typing.Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
_Host = typing.Annotated[bytes, msgspec.Meta(min_length=4, max_length=16)]
_Body = typing.Annotated[bytes, msgspec.Meta(max_length=100)]
_Name = typing.Annotated[str, msgspec.Meta(pattern=r'^[!-~]{0,24}\Z')]
_RecordBody = typing.Annotated[bytes, msgspec.Meta(max_length=1050)]
_Credential = typing.Annotated[bytes, msgspec.Meta(max_length=200)]
_Sign = typing.Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
_Claim = typing.Annotated[bytes, msgspec.Meta(max_length=64 + 100)]
_Part = typing.Annotated[str, msgspec.Meta(pattern=r'^[!-~]{1,32}\Z')]
_AnyPart = typing.Annotated[str, msgspec.Meta(pattern=r'^[!-~]{0,32}\Z')]
_Payload = typing.Annotated[bytes, msgspec.Meta(max_length=900)]
_NewsPayload = typing.Annotated[bytes, msgspec.Meta(max_length=512)]

BUCKETS = 16


class Message(msgspec.Struct, frozen=True, array_like=True):
    """Base of all that is encoded as a MessagePack array."""


class Ping(Message, frozen=True):
    """Are you there? Answered by :class:`Ack` with the same number."""

    seq: _U16
    summary: _U32


class Ack(Message, frozen=True):
    """I am, or the peer is that you asked me to probe."""

    seq: _U16
    summary: _U32


class PingRequest(Message, frozen=True):
    """Probe this peer in my place."""

    seq: _U16
    target: _Peer


class Nack(Message, frozen=True):
    """I am here, but the peer you asked me to probe is silent."""

    seq: _U16


class Hello(Message, frozen=True):
    """This is me: my MemberItem is in the same datagram."""

    reply: bool


class Introduce(Message, frozen=True):
    """I do not know you: say Hello."""


class IssuerItem(Message, frozen=True):
    """The credential of an issuer, signed by the root."""

    credential: _Credential


class MemberItem(Message, frozen=True):
    """A peer's signed descriptor, its credential, and how it ended.

    ``claim`` is empty, or ``signature + body`` of a claim that it is dead
    or has left.
    """

    body: _Body
    signature: _Sign
    credential: _Credential
    claim: _Claim = b''


class ClaimItem(Message, frozen=True):
    """A signed claim: a suspicion, a confirmation or a leave."""

    body: _Body
    signature: _Sign


class RecordItem(Message, frozen=True):
    """A signed part of a peer's record."""

    body: _RecordBody
    signature: _Sign


class RevocationItem(Message, frozen=True):
    """A signed revocation, with its author's credential."""

    body: _Body
    signature: _Sign
    credential: _Credential


class Buckets(Message, frozen=True):
    """Digests of all that I hold, by the first bits of the peer id."""

    digests: typing.Annotated[
        tuple[_U64, ...],
        msgspec.Meta(min_length=BUCKETS, max_length=BUCKETS),
    ]


class HavePart(Message, frozen=True):
    """The version of a part that I hold."""

    part: _Part
    boot: _U48
    n: _U48


class HaveMember(Message, frozen=True):
    """What I hold of one peer."""

    peer: _Peer
    boot: _U48
    incarnation: _U48
    status: typing.Annotated[int, msgspec.Meta(ge=0, le=4)]
    parts: tuple[HavePart, ...]


class Have(Message, frozen=True):
    """All that I hold of the peers from ``low`` to ``high``, inclusive."""

    low: _Peer
    high: _Peer
    members: tuple[HaveMember, ...]


class WantItem(Message, frozen=True):
    """A descriptor (the empty part) or a part of a record."""

    peer: _Peer
    part: _AnyPart


class Want(Message, frozen=True):
    """Send me these."""

    items: tuple[WantItem, ...]


class Bulk(Message, frozen=True):
    """The items of this datagram answer an exchange: do not spread them."""


class Relay(Message, frozen=True):
    """Tell the items of this datagram to the peers from low to high.

    A peer is where the first 32 bits of its id are; both ends are
    included. Answered by :class:`Relayed` with the same number, if that is
    not 0.
    """

    seq: _U16
    low: _U32
    high: _U32


class Relayed(Message, frozen=True):
    """I have what you relayed, and see to my range."""

    seq: _U16


class Descriptor(Message, frozen=True):
    """Where a peer is, and its name among people. Signed by the peer.

    Nothing is decided by the name: two peers may have the same.
    """

    peer: _Peer
    boot: _U48
    boot_id: _EightBytes
    incarnation: _U48
    host: _Host
    port: _U16
    request_port: _U16
    name: _Name = ''


class Claim(Message, frozen=True):
    """A word about (subject, boot, incarnation), signed by its author.

    ``kind`` is a status: 1 suspect, 2 dead, 3 left (by the subject only).
    A suspicion or a confirmation is ``refused`` if the subject's machine has
    said that nobody listens there.
    """

    kind: typing.Annotated[int, msgspec.Meta(ge=1, le=3)]
    author: _Peer
    subject: _Peer
    boot: _U48
    incarnation: _U48
    refused: bool = False


class Revocation(Message, frozen=True):
    """The subject is no member any more.

    ``made_at`` is in seconds since 1970.
    """

    subject: _Peer
    made_at: _U32


class EarlierNews(Message, frozen=True):
    """A piece of news that an earlier version of its part brought."""

    id: _EightBytes
    made_at: _U32
    payload: _NewsPayload


class News(Message, frozen=True):
    """What a part of a record holds that is kept for news.

    A piece of news, and before it those of the same part that are still
    told, the latest first. ``made_at`` is in seconds since 1970.
    """

    id: _EightBytes
    made_at: _U32
    payload: _NewsPayload
    earlier: tuple[EarlierNews, ...] = ()


class Part(Message, frozen=True):
    """One part of what a peer says of itself. Signed by the peer."""

    peer: _Peer
    part: _Part
    boot: _U48
    n: _U48
    payload: _Payload
