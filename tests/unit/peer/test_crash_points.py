# SPDX-License-Identifier: Apache-2.0
"""The daemon ends after any durable step: the next one converges."""

import contextlib
from collections.abc import Iterator

import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.hypervisor import Power
from p2pcs_nova.peer.steps import Step
from tests.support import one_peer
from tests.unit.peer.conftest import CONTENT, Pc

pytestmark = pytest.mark.trio

State = wire.InstanceState
IMAGE = one_peer.image_of(CONTENT)
# Steps of a failed build, of a suspension, of a snapshot and of the owner's
# commands come with others.
LIFE: list[Step] = [
    step
    for step in Step
    if step
    not in (
        Step.DOMAIN_SUSPENDED,
        Step.DOMAIN_SAVED,
        Step.MEMORY_KEPT,
        Step.DOMAIN_RESTORED,
        Step.MEMORY_DROPPED,
        Step.COPY_BEGUN,
        Step.COPY_ENDED,
        Step.COPY_DROPPED,
        Step.FAILURE_STORED,
        Step.UNDONE_STORED,
        Step.QUARANTINE_STORED,
        Step.DRAIN_STORED,
    )
]


class PowerCutError(BaseException):
    """Nothing in the daemon catches this one."""


class Fuse:
    """Ends the daemon after a step."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.burnt = False

    def __call__(self, step: Step, instance: str) -> None:
        if self.burnt or step is self.step:
            self.burnt = True
            raise PowerCutError


@contextlib.contextmanager
def power_cut() -> Iterator[None]:
    """Until the fuse burns; whoever waits hears that the daemon ends."""
    try:
        yield
    except BaseExceptionGroup as group:
        _, rest = group.split((PowerCutError, errors.Unavailable))
        if rest is not None:
            raise rest from None
    except PowerCutError:
        pass


async def live(pc: Pc, fuse: Fuse, spec: wire.InstanceSpec) -> None:
    """Build, start, destroy, as far as the fuse lets us."""
    async with pc.run(passed=fuse) as peer:
        await peer.place(spec)
        await peer.filter(spec, new_rules(spec))
        await peer.act(spec, wire.Action.START)
        await peer.bury(spec)


def new_rules(spec: wire.InstanceSpec) -> wire.PortFilter:
    """What may pass at the port of an instance a little later."""
    [vif] = spec.vifs
    rule = wire.Rule(wire.Direction.INGRESS, 4)
    return wire.PortFilter(vif.port, vif.ips, rules=(rule,))


@pytest.mark.parametrize('step', LIFE, ids=lambda step: step.value)
async def test_what_was_begun_is_finished_or_undone(
    pc: Pc, step: Step
) -> None:
    spec = one_peer.spec_of(IMAGE)
    fuse = Fuse(step)
    with power_cut():
        await live(pc, fuse, spec)
    assert fuse.burnt
    async with pc.run() as peer:
        states = {s.state for s in peer.service.statuses()}
        assert states <= {
            State.PLUGGED,
            State.RUNNING,
            State.PAUSED,
            State.FAILED,
        }
        if states & {State.FAILED} or not states:
            assert pc.hypervisor.rows == {}
            assert pc.table.vifs == []
            assert pc.instance_folders() == []
            assert peer.service.used() == wire.Capacity()
        else:
            assert list(pc.hypervisor.rows) == [spec.instance]
            [vif] = spec.vifs
            if LIFE.index(step) >= LIFE.index(Step.RULES_STORED):
                vif = vif.with_filter(new_rules(spec))
            assert pc.table.vifs == [vif]
            # It can be commanded, and destroyed, as if nothing had been.
            status = await peer.act(spec, wire.Action.START)
            assert status.state is State.RUNNING
        await peer.bury(spec)
        assert peer.service.statuses() == ()
        with pytest.raises(errors.StaleEpoch):
            await peer.place(spec)
    assert pc.hypervisor.rows == {}
    assert pc.table.vifs == []
    assert pc.instance_folders() == []


@pytest.mark.parametrize(
    'step',
    [
        Step.FAILURE_STORED,
        Step.POWER_CUT,
        Step.DOMAIN_UNDEFINED,
        Step.FILTERS_REMOVED,
        Step.FOLDER_REMOVED,
        Step.UNDONE_STORED,
    ],
    ids=lambda step: step.value,
)
async def test_failed_build_is_undone_at_last(pc: Pc, step: Step) -> None:
    spec = one_peer.spec_of(IMAGE)
    fuse = Fuse(step)
    pc.hypervisor.failing_at['start_paused'] = errors.NoSpace('no memory')
    with power_cut():
        async with pc.run(passed=fuse) as peer:
            await peer.place(spec)
    assert fuse.burnt
    async with pc.run() as peer:
        [status] = peer.service.statuses()
        assert status.state is State.FAILED
        assert status.detail == 'no memory'
        assert peer.service.used() == wire.Capacity()
    assert pc.hypervisor.rows == {}
    assert pc.table.vifs == []
    assert pc.instance_folders() == []


async def test_what_was_put_into_quarantine_is_frozen_at_last(pc: Pc) -> None:
    spec = one_peer.spec_of(IMAGE)
    fuse = Fuse(Step.QUARANTINE_STORED)
    with power_cut():
        async with pc.run(passed=fuse) as peer:
            await peer.place(spec)
            await peer.act(spec, wire.Action.START)
            await peer.act(spec, wire.Action.QUARANTINE)
    assert fuse.burnt
    assert pc.hypervisor.rows[spec.instance].power is Power.RUNNING
    async with pc.run() as peer:
        [status] = peer.service.statuses()
        assert status.state is State.QUARANTINED
        assert pc.hypervisor.rows[spec.instance].power is Power.PAUSED
