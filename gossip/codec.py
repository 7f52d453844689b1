# SPDX-License-Identifier: Apache-2.0
"""Messages to bytes and back.

The plain text of a datagram is a sequence of frames: kind(1), length(2,
big-endian), and so many bytes of MessagePack. A kind that we do not know is
skipped, so a newer release may send to an older one.
"""

import struct
import typing
from collections.abc import Iterable

import msgspec

from gossip import errors, messages

_FRAME = struct.Struct('>BH')
FRAME_BYTES = _FRAME.size

KINDS: dict[int, type[messages.Message]] = {
    1: messages.Ping,
    2: messages.Ack,
    3: messages.PingRequest,
    4: messages.Nack,
    5: messages.Hello,
    6: messages.Introduce,
    7: messages.IssuerItem,
    8: messages.MemberItem,
    9: messages.ClaimItem,
    10: messages.RecordItem,
    11: messages.Buckets,
    12: messages.Have,
    13: messages.Want,
    14: messages.Bulk,
    15: messages.RevocationItem,
    16: messages.Relay,
    17: messages.Relayed,
}

_Message = typing.TypeVar('_Message', bound=messages.Message)

_NUMBERS = {kind: number for number, kind in KINDS.items()}
_ENCODER = msgspec.msgpack.Encoder()
_DECODERS = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (
        *KINDS.values(),
        messages.Descriptor,
        messages.Claim,
        messages.News,
        messages.Part,
        messages.Revocation,
    )
}
_BAD = (msgspec.DecodeError, UnicodeError, RecursionError, OverflowError)


class Decoded(typing.NamedTuple):
    """What a datagram held; ``unknown`` frames were skipped."""

    messages: list[messages.Message]
    unknown: int


def encode(message: messages.Message) -> bytes:
    """One framed message."""
    body = _ENCODER.encode(message)
    return _FRAME.pack(_NUMBERS[type(message)], len(body)) + body


def encode_all(many: Iterable[messages.Message]) -> bytes:
    """Framed messages, one behind the other."""
    return b''.join(map(encode, many))


def decode(data: bytes) -> Decoded:
    """The messages of a datagram's plain text.

    :raises MalformedMessage: not a sequence of frames, or a frame of a
        known kind that does not hold what it should
    """
    found: list[messages.Message] = []
    unknown = 0
    offset = 0
    while offset < len(data):
        if offset + FRAME_BYTES > len(data):
            raise errors.MalformedMessage('frame header')
        number, length = _FRAME.unpack_from(data, offset)
        offset += FRAME_BYTES
        if offset + length > len(data):
            raise errors.MalformedMessage('frame length')
        kind = KINDS.get(number)
        if kind is None:
            unknown += 1
        else:
            found.append(decode_body(kind, data[offset : offset + length]))
        offset += length
    return Decoded(found, unknown)


def encode_body(message: messages.Message) -> bytes:
    """A message without its frame: what gets signed."""
    return _ENCODER.encode(message)


def decode_body(kind: type[_Message], body: bytes) -> _Message:
    """A message from its bytes without frame.

    :raises MalformedMessage: the bytes are not of this kind
    """
    try:
        return typing.cast(_Message, _DECODERS[kind].decode(body))
    except _BAD as error:
        raise errors.MalformedMessage(kind.__name__) from error
