# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import msgspec
import pytest

from p2pcs_nova import wire
from p2pcs_nova.hearsay import MOST, believable

NOTHING = wire.Capacity()
ONE = wire.Capacity(1, 100, 10)
ABSURD = wire.Capacity(2**40, 2**40, 2**40)


def record(
    total: wire.Capacity = ONE,
    used: wire.Capacity = NOTHING,
    said: wire.Attributes | None = None,
    model: str = 'qemu64',
) -> wire.PeerRecord:
    offer = wire.Offer(total, cpu_model=model)
    return wire.PeerRecord('pc', offer, said or {}, used, 'gold')


@pytest.mark.parametrize(
    'lie', [record(ABSURD), record(used=ABSURD)], ids=['offer', 'used']
)
def test_absurd_word_of_a_pc_is_worth_nothing(lie: wire.PeerRecord) -> None:
    found = believable(lie)
    assert (found.offer.total, found.used) == (NOTHING, NOTHING)
    assert 'more than a PC can have' in found.offer.reason
    assert found.slice == 'gold'


def test_the_largest_pc_is_believed() -> None:
    largest = record(MOST, MOST, {'cores': MOST.vcpus, 'reliability': 1})
    assert believable(largest) == largest


@pytest.mark.parametrize(
    'said',
    [
        {'reliability': 1e6},
        {'reliability': -1.7e308},
        {'reliability': math.nan},
        {'reliability': '1e308'},
        {'cores': True},
        {'cpu_score': math.inf},
        {'memory_mb': 2**40},
        {'site': ('rome', 'oslo')},
    ],
)
def test_known_attribute_that_no_pc_can_have_is_not_said(
    said: wire.Attributes,
) -> None:
    kept: dict[str, wire.Attribute]
    kept = {'country': 'IT', 'floor': -1, 'labs': ('a', 'b')}
    found = believable(record(said={**said, **kept}))
    assert found.attributes == kept


def test_what_a_pc_writes_cannot_drive_a_terminal() -> None:
    wild = record(model='\x1b[31mbest\U0001f4bb')
    wild = msgspec.structs.replace(
        wild,
        name='pc\x1b[2J',
        offer=msgspec.structs.replace(wild.offer, reason='\x1b]0;x\a\n'),
    )
    found = believable(wild)
    assert found.name.isprintable()
    assert found.offer.reason.isprintable()
    assert found.offer.cpu_model.isprintable()
    assert max(found.offer.cpu_model) <= '\uffff'
