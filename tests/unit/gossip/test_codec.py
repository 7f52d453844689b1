# SPDX-License-Identifier: Apache-2.0
"""Messages to bytes and back; bytes that are no messages."""

import contextlib
import pathlib
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip import codec, errors, messages, seal, signing, throwaway
from gossip.descriptor import Role
from tests.conftest import Tried
from tests.support.figures import DATAGRAMS

GOLDEN = pathlib.Path(__file__).with_name('golden.txt')
BEFORE = GOLDEN.with_name('golden_before.txt')

PEERS = st.binary(min_size=16, max_size=16)
SIGNS = st.binary(min_size=64, max_size=64)
U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U48 = st.integers(0, 2**48 - 1)
U64 = st.integers(0, 2**64 - 1)
BODIES = st.binary(max_size=100)
CREDENTIALS = st.binary(max_size=200)
NAMES = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
PARTS = st.text(NAMES, min_size=1, max_size=32)

HAVE_MEMBERS = st.builds(
    messages.HaveMember,
    PEERS,
    U48,
    U48,
    st.integers(0, 4),
    st.lists(st.builds(messages.HavePart, PARTS, U48, U48), max_size=4).map(
        tuple
    ),
)
MESSAGES = st.one_of(
    st.builds(messages.Ping, U16, U32),
    st.builds(messages.Ack, U16, U32),
    st.builds(messages.PingRequest, U16, PEERS),
    st.builds(messages.Nack, U16),
    st.builds(messages.Hello, st.booleans()),
    st.builds(messages.Introduce),
    st.builds(messages.IssuerItem, CREDENTIALS),
    st.builds(
        messages.MemberItem,
        BODIES,
        SIGNS,
        CREDENTIALS,
        st.binary(max_size=164),
    ),
    st.builds(messages.ClaimItem, BODIES, SIGNS),
    st.builds(messages.Relay, U16, U32, U32),
    st.builds(messages.Relayed, U16),
    st.builds(messages.RecordItem, st.binary(max_size=1050), SIGNS),
    st.builds(
        messages.Buckets,
        st.lists(U64, min_size=16, max_size=16).map(tuple),
    ),
    st.builds(
        messages.Have,
        PEERS,
        PEERS,
        st.lists(HAVE_MEMBERS, max_size=4).map(tuple),
    ),
    st.builds(
        messages.Want,
        st.lists(
            st.builds(messages.WantItem, PEERS, st.text(NAMES, max_size=32)),
            max_size=4,
        ).map(tuple),
    ),
    st.builds(messages.Bulk),
    st.builds(messages.RevocationItem, BODIES, SIGNS, CREDENTIALS),
)


@given(st.lists(MESSAGES, max_size=6))
def test_messages_come_back(many: list[messages.Message]) -> None:
    assert codec.decode(codec.encode_all(many)) == (many, 0)


@given(st.binary(max_size=1200))
def test_random_bytes_raise_only_malformed_message(
    tried: Tried, data: bytes
) -> None:
    tried(DATAGRAMS)
    with contextlib.suppress(errors.MalformedMessage):
        codec.decode(data)


@given(st.sampled_from(sorted(codec.KINDS)), st.binary(max_size=300))
def test_random_bodies_raise_only_malformed_message(
    tried: Tried, kind: int, body: bytes
) -> None:
    tried(DATAGRAMS)
    frame = bytes([kind]) + len(body).to_bytes(2, 'big') + body
    with contextlib.suppress(errors.MalformedMessage):
        codec.decode(frame)


@given(MESSAGES, st.data())
def test_damaged_messages_raise_only_malformed_message(
    tried: Tried, message: messages.Message, data: st.DataObject
) -> None:
    tried(DATAGRAMS)
    frame = bytearray(codec.encode(message))
    place = data.draw(st.integers(3, len(frame) - 1))
    frame[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(errors.MalformedMessage):
        codec.decode(bytes(frame))


@given(MESSAGES)
def test_unknown_fields_are_passed_over(message: messages.Message) -> None:
    kind = codec.encode(message)[0]
    fields = msgspec.msgpack.decode(codec.encode_body(message))
    body = msgspec.msgpack.encode([*fields, 'from', {'the': 'future'}])
    frame = bytes([kind]) + len(body).to_bytes(2, 'big') + body

    assert codec.decode(frame) == ([message], 0)


def test_unknown_kinds_are_passed_over() -> None:
    ping = messages.Ping(1, 2)
    future = b'\xfe\x00\x03abc'

    assert codec.decode(future + codec.encode(ping)) == ([ping], 1)


@pytest.mark.parametrize(
    'data',
    [
        b'\x01',
        b'\x01\x00',
        b'\x01\x00\x05',
        b'\x01\x00\x00',
        b'\x01\x00\x03\x92\x01\x02\x00',
        codec.encode(messages.Ping(1, 2))[:-1],
    ],
)
def test_cut_frames_are_malformed(data: bytes) -> None:
    with pytest.raises(errors.MalformedMessage):
        codec.decode(data)


def make_golden() -> dict[str, bytes]:
    """One of each kind, with fixed keys, and each sealed in a datagram."""
    overlay = throwaway.Overlay(random.Random(0), 'golden')
    who = overlay.make_identity(Role.PEER)
    peer = who.peer

    def sign(what: messages.Message) -> signing.Signed:
        return signing.sign(who, overlay.overlay, what)

    place = messages.Descriptor(
        peer, 3, b'bootboot', 2, bytes([10, 0, 0, 1]), 7400, 7400, 'pc1'
    )
    claim = sign(messages.Claim(3, peer, peer, 3, 2))
    kinds: list[messages.Message] = [
        messages.Ping(7, 0xDEADBEEF),
        messages.Ack(7, 0xDEADBEEF),
        messages.PingRequest(8, peer),
        messages.Nack(8),
        messages.Hello(True),
        messages.Introduce(),
        messages.IssuerItem(overlay.issuer_credential),
        messages.MemberItem(
            *sign(place), who.credential, claim.signature + claim.body
        ),
        messages.ClaimItem(*claim),
        messages.RecordItem(
            *sign(messages.Part(peer, 'capacity', 3, 9, b'payload'))
        ),
        messages.Buckets(tuple(range(16))),
        messages.Have(
            bytes(16),
            b'\xff' * 16,
            (
                messages.HaveMember(
                    peer, 3, 2, 0, (messages.HavePart('capacity', 3, 9),)
                ),
            ),
        ),
        messages.Want((messages.WantItem(peer, 'capacity'),)),
        messages.Bulk(),
        messages.RevocationItem(
            *sign(messages.Revocation(peer, 1_800_000_000)), who.credential
        ),
        messages.Relay(9, 0, 2**32 - 1),
        messages.Relayed(9),
    ]
    maker = seal.Sealer(
        seal.RingKeys(((5, bytes(range(32))),)), peer, b'bootboot'
    )
    golden = {}
    for message in kinds:
        name = type(message).__name__
        plain = codec.encode(message)
        golden[name] = plain
        golden[f'{name} sealed'] = maker.seal(plain)
    return golden


def test_golden_bytes_have_not_changed() -> None:
    lines = GOLDEN.read_text().splitlines()
    stored = dict(
        line.rsplit(' ', 1) for line in lines if not line.startswith('#')
    )

    assert {name: data.hex() for name, data in make_golden().items()} == stored


def test_golden_bytes_of_an_earlier_release_are_read() -> None:
    opener = seal.Opener(seal.RingKeys(((5, bytes(range(32))),)))
    kinds = set()
    lines = [
        (path.name, line)
        for path in (GOLDEN, BEFORE)
        for line in path.read_text().splitlines()
    ]
    for origin, line in lines:
        name, data = line.rsplit(' ', 1)
        if name.endswith(' sealed'):
            plain = opener.open(bytes.fromhex(data), origin).plain
            (message,), unknown = codec.decode(plain)
            assert type(message).__name__ == name.removesuffix(' sealed')
            assert not unknown
            kinds.add(type(message))

    assert kinds == set(codec.KINDS.values())
