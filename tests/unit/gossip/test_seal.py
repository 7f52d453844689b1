# SPDX-License-Identifier: Apache-2.0
"""What opens, and what does not."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip import errors, seal
from tests.conftest import Tried
from tests.support.figures import DATAGRAMS

RING = seal.RingKeys(((1, bytes(range(32))),))
PEER = b'p' * 16
BOOT = b'b' * 8


def sealer(ring: seal.RingKeys = RING, boot: bytes = BOOT) -> seal.Sealer:
    return seal.Sealer(ring, PEER, boot)


def reason(opener: seal.Opener, datagram: bytes) -> str:
    with pytest.raises(errors.Refused) as caught:
        opener.open(datagram)
    return caught.value.reason


@given(st.binary(max_size=seal.MAX_PLAIN))
def test_what_is_sealed_opens(plain: bytes) -> None:
    datagram = sealer().seal(plain)

    opened = seal.Opener(RING).open(datagram)

    assert opened == (PEER, BOOT, plain)
    assert len(datagram) == 48 + len(plain) <= seal.MAX_DATAGRAM


def test_header_is_the_one_agreed_on() -> None:
    maker = sealer()
    maker.seal(b'')

    header = maker.seal(b'')[:32]

    assert header == (b'\x01\x01' + PEER + BOOT + b'\x00\x00\x00\x00\x00\x01')


def test_too_long_is_our_own_fault() -> None:
    with pytest.raises(errors.Misuse):
        sealer().seal(bytes(seal.MAX_PLAIN + 1))


def test_a_key_goes_with_its_ring_key() -> None:
    opener, maker = seal.Opener(RING), sealer()
    opener.open(maker.seal(b'x'))

    opener.set_ring_keys(seal.RingKeys(((1, bytes(32)),)))

    assert reason(opener, maker.seal(b'x')) == 'seal'


def test_the_window_ends_where_it_is_said_to_end() -> None:
    window = seal.ReplayWindow()

    window.add(seal.WINDOW)

    assert not window.is_new(0)
    assert window.is_new(1)


def test_no_counter_seals_twice() -> None:
    maker = sealer()

    counters = {maker.seal(b'same')[26:32] for _ in range(300)}

    assert len(counters) == 300


def test_every_flipped_bit_is_noticed() -> None:
    opener = seal.Opener(RING)
    datagram = sealer().seal(b'hello')

    for place in range(len(datagram)):
        bad = bytearray(datagram)
        bad[place] ^= 1
        with pytest.raises((errors.Refused, errors.MalformedMessage)):
            opener.open(bytes(bad))
    assert opener.open(datagram).plain == b'hello'


def test_datagram_opens_once() -> None:
    opener = seal.Opener(RING)
    datagram = sealer().seal(b'')
    opener.open(datagram)

    assert reason(opener, datagram) == 'replay'


@given(st.randoms(use_true_random=False))
def test_order_does_not_matter_within_the_window(rng: random.Random) -> None:
    opener, maker = seal.Opener(RING), sealer()
    datagrams = [maker.seal(b'') for _ in range(200)]
    rng.shuffle(datagrams)

    for datagram in datagrams:
        opener.open(datagram)
    for datagram in datagrams:
        assert reason(opener, datagram) == 'replay'


def test_older_than_the_window_is_a_replay() -> None:
    opener, maker = seal.Opener(RING), sealer()
    datagrams = [maker.seal(b'') for _ in range(seal.WINDOW + 1)]

    opener.open(datagrams[-1])

    assert reason(opener, datagrams[0]) == 'replay'
    opener.open(datagrams[1])


def test_each_boot_has_its_own_window() -> None:
    opener = seal.Opener(RING)
    opener.open(sealer().seal(b''))

    assert opener.open(sealer(boot=b'c' * 8).seal(b'x')).plain == b'x'


def test_who_was_silent_longest_is_forgotten_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seal, '_SENDERS_MAX', 2)
    opener = seal.Opener(RING)
    talker, silent, newcomer = (sealer(boot=bytes([n] * 8)) for n in range(3))
    said = {maker: maker.seal(b'') for maker in (talker, silent, newcomer)}
    for datagram in (said[talker], said[silent], talker.seal(b'again')):
        opener.open(datagram)

    opener.open(said[newcomer])

    assert reason(opener, said[talker]) == 'replay'
    assert reason(opener, said[newcomer]) == 'replay'
    assert opener.open(said[silent]).boot_id == bytes([1] * 8)


def test_rotation_opens_old_and_seals_new() -> None:
    both = seal.RingKeys((*RING.keys, (2, bytes(32))))
    opener, maker = seal.Opener(both), sealer()

    old = maker.seal(b'old')
    maker.set_ring_keys(both)
    new = maker.seal(b'new')

    assert new[1] == 2
    assert opener.open(old).plain == b'old'
    assert opener.open(new).plain == b'new'
    opener.set_ring_keys(seal.RingKeys(both.keys[1:]))
    assert reason(opener, maker_with(RING).seal(b'')) == 'ring_key'


def maker_with(ring: seal.RingKeys) -> seal.Sealer:
    return sealer(ring, b'd' * 8)


def test_same_number_but_other_key_does_not_open() -> None:
    other = seal.RingKeys(((1, bytes(32)),))

    assert reason(seal.Opener(RING), sealer(other).seal(b'')) == 'seal'


@given(st.binary(max_size=1400))
def test_random_bytes_are_refused(tried: Tried, data: bytes) -> None:
    tried(DATAGRAMS)
    with pytest.raises((errors.Refused, errors.MalformedMessage)):
        seal.Opener(RING).open(data)


@pytest.mark.parametrize(
    'keys',
    [
        (),
        ((1, bytes(31)),),
        ((256, bytes(32)),),
        ((1, bytes(32)), (1, bytes(32))),
    ],
)
def test_ring_keys_are_checked(keys: tuple[tuple[int, bytes], ...]) -> None:
    with pytest.raises(errors.Misuse):
        seal.RingKeys(keys)
