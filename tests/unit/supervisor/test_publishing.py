# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import errors, wire
from p2pcs_nova.hosts.nova import Outcome
from p2pcs_nova.policy import signing
from p2pcs_nova.policy.partition import Partition
from p2pcs_nova.supervisor import publishing
from p2pcs_nova.supervisor.publishing import AGAIN_S, RETRY_S

pytestmark = pytest.mark.trio

NOTHING = Outcome((), ())
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
TIN = wire.SliceRow('tin', of='tin', share=1_000_000)


class Scene:
    """A daemon and Nova, and what Nova was told."""

    def __init__(self) -> None:
        self.policy = bundle('gold')
        self.outcome: Outcome | Exception = NOTHING
        self.told: list[tuple[str, ...]] = []
        self.reports: list[wire.HostsReport] = []
        self.publisher = publishing.Publisher(
            lambda: self.policy, self.follow, self.reports.append
        )

    def follow(self, partition: Partition) -> Outcome:
        self.told.append(partition.open)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def bundle(name: str) -> wire.PolicyBundle:
    text = f'slices: [{{name: {name}, match: {{}}}}]'
    return wire.PolicyBundle(wire.SignedPolicy(text, b''))


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_nova_is_told_once_of_what_does_not_change(scene: Scene) -> None:
    for now in (0.0, 3.0, AGAIN_S - 1.0):
        await scene.publisher.look(now)
    assert scene.told == [('gold',)]
    await scene.publisher.look(AGAIN_S)
    assert scene.told == [('gold',)] * 2


async def test_nova_is_told_at_once_of_a_change(scene: Scene) -> None:
    await scene.publisher.look(0.0)
    scene.policy = bundle('tin')
    await scene.publisher.look(3.0)
    assert scene.told == [('gold',), ('tin',)]


async def test_what_nova_is_not_ready_for_is_tried_again_and_told_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    scene.outcome = Outcome((), ('gold: no host yet',))
    for now in (0.0, 3.0, RETRY_S, 2 * RETRY_S):
        await scene.publisher.look(now)
    assert scene.told == [('gold',)] * 3
    assert caplog.messages == ['not yet: gold: no host yet']


async def test_nova_that_fails_is_tried_again_and_said_when_it_comes_and_goes(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    scene.outcome = errors.Unreachable('nova: gone')
    for now in (0.0, 3.0, RETRY_S):
        await scene.publisher.look(now)
    assert scene.told == [('gold',)] * 2
    scene.outcome = NOTHING
    for now in (RETRY_S + 3.0, 2 * RETRY_S):
        await scene.publisher.look(now)
    assert scene.told == [('gold',)] * 3
    what = "having Nova's hosts as the slices"
    assert caplog.messages == [f'{what}: nova: gone', f'{what}: it goes on']


async def test_answer_of_nova_that_nobody_expected_ends_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.outcome = TypeError("'NoneType' object is not subscriptable")
    await scene.publisher.look(0.0)
    assert 'it answered with TypeError' in caplog.text
    scene.outcome = NOTHING
    await scene.publisher.look(RETRY_S)
    assert scene.told == [('gold',)] * 2


async def test_policy_that_cannot_be_read_reaches_nova_not_at_all(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.policy = wire.PolicyBundle(wire.SignedPolicy('slices: 7', b''))
    await scene.publisher.look(0.0)
    assert scene.told == []
    assert 'policy' in caplog.text


async def test_a_host_is_told_to_be_gone_when_it_has_been_for_a_while(
    scene: Scene,
) -> None:
    scene.outcome = Outcome((), (), ('old',))
    await scene.publisher.look(0.0)
    scene.policy = bundle('tin')
    await scene.publisher.look(3.0)
    await scene.publisher.look(AGAIN_S)
    assert scene.reports == []
    await scene.publisher.look(AGAIN_S + 3.0)
    assert scene.reports == [wire.HostsReport(0, 0, gone=('old',))]


def draining(scene: Scene) -> None:
    """The slice map has gold still, and the policy no more."""
    rows = (TIN, wire.SliceRow('gold', wire.SliceState.DRAINING))
    slices = wire.SliceMap(0, 7, rows)
    scene.policy = msgspec.structs.replace(
        bundle('tin'),
        slices=signing.sign_map(slices, KEY, '0' * 32),
    )


async def test_a_slice_is_idle_when_it_has_been_so_for_a_while(
    scene: Scene,
) -> None:
    draining(scene)
    for now, idle in (
        (0.0, True),
        (RETRY_S, False),
        (2 * RETRY_S, True),
        (3 * RETRY_S, True),
    ):
        scene.outcome = Outcome((), (), idle=('gold',) if idle else ())
        await scene.publisher.look(now)
    assert scene.reports == []
    await scene.publisher.look(4 * RETRY_S)
    assert scene.reports == [wire.HostsReport(0, 7, idle=('gold',))]


async def test_a_server_on_its_way_to_a_closed_slice_is_told_at_once(
    scene: Scene,
) -> None:
    scene.outcome = Outcome((), (), busy=('old',))
    await scene.publisher.look(0.0)
    assert scene.reports == [wire.HostsReport(0, 0, busy=('old',))]
