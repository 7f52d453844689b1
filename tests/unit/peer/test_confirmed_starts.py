# SPDX-License-Identifier: Apache-2.0
"""After the end of the machine nothing starts but by the gateway's word."""

import pytest
import trio
import trio.testing

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import quarantine
from p2pcs_nova.peer.hypervisor import Power
from tests.support import one_peer
from tests.unit.peer.conftest import CONTENT, Pc

pytestmark = pytest.mark.trio

State = wire.InstanceState
Action = wire.Action
IMAGE = one_peer.image_of(CONTENT)


def spec() -> wire.InstanceSpec:
    return one_peer.spec_of(IMAGE)


def lose_power(pc: Pc) -> None:
    """What libvirt says of domains when the machine is on again."""
    for name in pc.hypervisor.rows:
        pc.hypervisor.set_power(name, Power.COLD)
    pc.table.vifs = []


async def test_what_ran_waits_and_runs_when_its_epoch_is_confirmed(
    pc: Pc,
) -> None:
    server = spec()
    async with pc.run() as peer:
        await peer.start(server)
    lose_power(pc)
    async with pc.run() as peer:
        [status] = peer.service.statuses()
        assert status.state is State.WAITING
        assert pc.hypervisor.rows[server.instance].power is Power.COLD
        with pytest.raises(errors.StaleEpoch):
            await peer.act(server, Action.RESTORE, n=2)
        assert pc.hypervisor.rows[server.instance].power is Power.COLD
        status = await peer.act(server, Action.RESTORE)
        assert status.state is State.RUNNING
        assert pc.table.vifs == list(server.vifs)


@pytest.mark.parametrize(
    'action', [Action.STOP, Action.PAUSE], ids=['stopped', 'paused']
)
async def test_what_did_not_run_stays_off(pc: Pc, action: Action) -> None:
    server = spec()
    async with pc.run() as peer:
        await peer.start(server)
        await peer.act(server, action)
    lose_power(pc)
    async with pc.run() as peer:
        status = await peer.act(server, Action.RESTORE)
        assert status.state is State.STOPPED
        assert pc.hypervisor.rows[server.instance].power is Power.COLD


async def test_guest_that_switched_itself_off_is_not_restored(
    pc: Pc,
) -> None:
    server = spec()
    async with pc.run() as peer:
        await peer.start(server)
        pc.hypervisor.set_power(server.instance, Power.OFF)
        status = await peer.act(server, Action.RESTORE)
    assert status.state is State.STOPPED


async def test_quarantine_freezes_and_ends_as_it_began(pc: Pc) -> None:
    server = spec()
    async with pc.run() as peer:
        await peer.start(server)
        status = await peer.act(server, Action.QUARANTINE)
        assert status.state is State.QUARANTINED
        assert pc.hypervisor.rows[server.instance].power is Power.PAUSED
        with pytest.raises(errors.WrongState):
            await peer.act(server, Action.UNPAUSE)
        # A frozen guest still has what it had.
        assert peer.service.used() == server.need
    async with pc.run() as peer:
        [status] = peer.service.statuses()
        assert status.state is State.QUARANTINED
        status = await peer.act(server, Action.RESTORE)
        assert status.state is State.RUNNING


async def test_quarantine_ends_in_the_bin_when_its_time_is_over(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = spec()
    async with pc.run() as peer:
        await peer.place(server)
        await peer.act(server, Action.QUARANTINE)
        kept = peer.service._instances
        await kept.reconcile(quarantine.QUARANTINE_S - 1.0)
        assert pc.instance_folders() != []
    async with pc.run() as peer:
        kept = peer.service._instances
        [status] = peer.service.statuses()
        assert status.state is State.QUARANTINED
        await kept.reconcile(quarantine.NOTED_S + 1.0)
        assert peer.service.statuses() == ()
        with pytest.raises(errors.StaleEpoch):
            await peer.place(server)
    assert pc.hypervisor.rows == {}
    assert pc.instance_folders() == []


async def test_quarantined_instance_can_be_destroyed(pc: Pc) -> None:
    server = spec()
    async with pc.run() as peer:
        await peer.place(server)
        await peer.act(server, Action.QUARANTINE)
        await peer.bury(server)
        assert peer.service.statuses() == ()
    assert pc.hypervisor.rows == {}


async def test_a_gateway_that_is_followed_meanwhile_starts_nothing(
    pc: Pc,
) -> None:
    server = spec()
    async with pc.run() as peer:
        await peer.start(server)
    lose_power(pc)
    async with one_peer.one_peer(
        pc.root,
        pc.hypervisor,
        pc.table.apply,
        sysfs=pc.sysfs,
        restore_after_s=0.3,
    ) as peer:
        outcomes: list[str] = []

        async def restore() -> None:
            try:
                await peer.act(server, Action.RESTORE)
            except errors.StaleTerm as error:
                outcomes.append(error.message)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(restore)
            await trio.testing.wait_all_tasks_blocked()
            later = wire.Command('gold', wire.Counter(1, 2))
            await peer.orders.instances(later)
        assert len(outcomes) == 1
        assert pc.hypervisor.rows[server.instance].power is Power.COLD


async def test_a_clone_that_is_found_out_in_time_starts_nothing(
    pc: Pc,
) -> None:
    server = spec()
    async with pc.run() as peer:
        await peer.start(server)
    lose_power(pc)
    async with one_peer.one_peer(
        pc.root,
        pc.hypervisor,
        pc.table.apply,
        sysfs=pc.sysfs,
        restore_after_s=0.3,
    ) as peer:
        outcomes: list[str] = []

        async def restore() -> None:
            try:
                await peer.act(server, Action.RESTORE)
            except errors.PutOut as error:
                outcomes.append(error.message)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(restore)
            peer.service.put_out('contested', 'cloned')
        assert outcomes == ['cloned']
        assert pc.hypervisor.rows[server.instance].power is Power.COLD
        peer.service.put_out('contested', '')
        status = await peer.act(server, Action.RESTORE)
        assert status.state is State.RUNNING
