# SPDX-License-Identifier: Apache-2.0
"""Whether terms may come from a place, and who begins an era there."""

from __future__ import annotations

import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway.eras import COUNTER, Last, Stand, must_begin

ME, OTHER = 'a' * 32, 'b' * 32
ETCD, SECOND = 'etcd 1 /p2pcs', 'etcd 2 /p2pcs'
FRESH = Last('', wire.Counter(0, 0))


def at(place: str, era: int, n: int) -> Stand:
    return Stand(place, wire.Counter(era, n))


def empty(place: str) -> Stand:
    return Stand(place, None)


def last(place: str, era: int, n: int) -> Last:
    return Last(place, wire.Counter(era, n))


def word(number: int, place: str, gateway: str = ME) -> wire.Era:
    return wire.Era(number, gateway, place)


@pytest.mark.parametrize(
    ('stand', 'known', 'said', 'begins'),
    [
        # The first gateway, and one that comes to others.
        (at(COUNTER, 1, 0), FRESH, None, False),
        (empty(ETCD), FRESH, word(2, ETCD), True),
        (at(ETCD, 1, 7), FRESH, None, False),
        (at(ETCD, 3, 7), FRESH, word(3, ETCD, OTHER), False),
        # It goes on where it was.
        (at(COUNTER, 1, 9), last(COUNTER, 1, 9), None, False),
        (at(ETCD, 3, 9), last(ETCD, 3, 9), word(3, ETCD), False),
        (at(ETCD, 3, 9), last(ETCD, 3, 5), word(3, ETCD, OTHER), False),
        # An admin's word moves it.
        (empty(ETCD), last(COUNTER, 1, 9), word(2, ETCD), True),
        (at(COUNTER, 1, 9), last(ETCD, 2, 70), word(3, COUNTER), True),
        (at(COUNTER, 1, 3), FRESH, word(3, COUNTER), True),
        # ... or lets it go on with what was restored, or is new.
        (at(ETCD, 2, 5), last(ETCD, 2, 9), word(3, ETCD), True),
        (empty(ETCD), last(ETCD, 2, 9), word(3, ETCD), True),
        (empty(SECOND), last(ETCD, 2, 9), word(3, SECOND), True),
        (at(ETCD, 2, 9), last(ETCD, 2, 9), word(3, ETCD), True),
        # It was killed when it had begun, and had not yet noted it.
        (at(ETCD, 2, 5), last(COUNTER, 1, 9), word(2, ETCD), False),
        # Another one has begun an era whose word has not yet come.
        (at(ETCD, 4, 5), last(ETCD, 3, 9), word(3, ETCD), False),
        (at(ETCD, 4, 5), last(COUNTER, 3, 9), word(3, COUNTER), False),
    ],
)
def test_numbers_may_come_from_there(
    stand: Stand, known: Last, said: wire.Era | None, begins: bool
) -> None:
    assert must_begin(ME, stand, known, said) is begins


def test_second_gateway_does_not_count_beside_the_first() -> None:
    used, fresh = last(COUNTER, 1, 9), at(COUNTER, 1, 1)
    assert not must_begin(ME, at(COUNTER, 1, 9), used, None, [OTHER])
    with pytest.raises(errors.EraRefused, match=f'here already .{OTHER}'):
        must_begin(ME, fresh, FRESH, None, [OTHER])
    assert must_begin(ME, fresh, FRESH, word(2, COUNTER), [OTHER])


MOVED = 'terms came from .*; if they are to come from here .* era raise --ca'


@pytest.mark.parametrize(
    ('stand', 'known', 'said', 'reason'),
    [
        (empty(ETCD), last(COUNTER, 1, 9), None, MOVED),
        (at(ETCD, 1, 5), last(COUNTER, 1, 9), None, MOVED),
        (at(ETCD, 1, 5), last(SECOND, 1, 9), None, MOVED),
        (
            empty(ETCD),
            last(ETCD, 1, 9),
            None,
            r'has lost what it had \(the last number was 1.9\).* --lost',
        ),
        (
            at(ETCD, 2, 5),
            last(ETCD, 2, 9),
            word(2, ETCD),
            'older copy: it has come to 2.5, and 2.9 .* --lost',
        ),
        (
            at(ETCD, 2, 50),
            last(ETCD, 3, 9),
            word(3, ETCD),
            'older copy: it has come to 2.50, and 3.9',
        ),
        (
            at(COUNTER, 1, 9),
            last(ETCD, 2, 9),
            word(2, ETCD),
            "era 2 come from etcd 1 /p2pcs, and not from this gateway's own",
        ),
        (
            at(COUNTER, 1, 9),
            last(COUNTER, 1, 9),
            word(2, COUNTER, OTHER),
            f'era 2 come from the counter of gateway {OTHER}',
        ),
        (
            at(ETCD, 2, 9),
            last(ETCD, 2, 9),
            word(3, COUNTER, OTHER),
            f'era 3 come from the counter of gateway {OTHER}',
        ),
        (
            at(ETCD, 2, 9),
            last(ETCD, 2, 9),
            word(3, ETCD, OTHER),
            f'era 3 has not begun in etcd 1 .* on gateway {OTHER} first',
        ),
        (empty(ETCD), FRESH, word(3, ETCD, OTHER), 'era 3 has not begun'),
        (empty(ETCD), FRESH, None, 'no era has begun in etcd 1 .*era raise'),
    ],
)
def test_numbers_may_not_come_from_there(
    stand: Stand, known: Last, said: wire.Era | None, reason: str
) -> None:
    with pytest.raises(errors.EraRefused, match=reason):
        must_begin(ME, stand, known, said)
