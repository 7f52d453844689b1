# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import msgspec
import pytest

from p2pcs_nova import wire
from p2pcs_nova.daemon import report

UUID = '6b1a6f0e-0b3c-4c87-9f3a-2f1d3f0a9f10'
STATUS = wire.DaemonStatus(
    peer='ab' * 16,
    name='desk-7',
    role='peer',
    overlay='office',
    address='198.18.1.7:7400',
    members_alive=5,
    members_failed=1,
    offer=wire.Offer(
        wire.Capacity(4, 1024, 4096),
        networks=('office',),
        reason='KVM is not offered: a guest did not run under it.',
    ),
    attributes={'tier': 'gold', 'site': 'rome'},
    used=wire.Capacity(1, 128, 1024),
    slice='gold',
    draining=False,
    instances=(
        wire.InstanceStatus(
            UUID,
            wire.Counter(1, 2),
            'gold',
            wire.InstanceState.RUNNING,
            wire.Capacity(1, 128, 1024),
        ),
    ),
    reasons=('libvirt does not answer.',),
    release='0.1',
)


def test_status_says_what_runs_and_what_is_offered_and_why() -> None:
    text = report.status_to_text(STATUS)
    assert 'desk-7 is a peer of overlay office' in text
    assert '4 other members alive and 1 failed.' in text
    assert 'offers 4 CPUs, 1024 MiB of memory, 4.0 GiB of disk' in text
    assert 'under TCG, on network office.' in text
    assert 'site=rome, tier=gold' in text
    assert f'{UUID}  running, 1 CPU, 128 MiB' in text
    assert 'Note: KVM is not offered' in text
    assert 'Note: libvirt does not answer.' in text


def test_each_reason_is_told_once() -> None:
    one, other = 'KVM is not offered', 'the owner keeps 1 CPU'
    assert STATUS.offer is not None
    offer = msgspec.structs.replace(STATUS.offer, reason=f'{one}; {other}')
    status = msgspec.structs.replace(
        STATUS, offer=offer, reasons=(one, other, 'the clock is wrong')
    )
    text = report.status_to_text(status)
    assert [text.count(said) for said in status.reasons] == [1, 1, 1]


@pytest.mark.parametrize('state', wire.InstanceState)
def test_every_state_has_its_words(state: wire.InstanceState) -> None:
    [row] = STATUS.instances
    status = msgspec.structs.replace(
        STATUS, instances=(msgspec.structs.replace(row, state=state),)
    )
    assert UUID in report.status_to_text(status)


def test_an_idle_pc_says_so() -> None:
    idle = msgspec.structs.replace(
        STATUS, instances=(), members_failed=0, draining=True
    )
    text = report.status_to_text(idle)
    assert 'No instance is on it.' in text
    assert '4 other members alive.' in text
    assert 'draining' in text


def test_a_gateway_offers_nothing() -> None:
    gateway = msgspec.structs.replace(STATUS, offer=None, role='gateway')
    assert 'offers' not in report.status_to_text(gateway)
