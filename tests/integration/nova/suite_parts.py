# SPDX-License-Identifier: Apache-2.0
"""Parts of the driver that need Nova's types, but no Nova service."""

from __future__ import annotations

import queue
from typing import Any, cast

import pytest
from nova import exception
from nova.compute import power_state
from nova.network import model
from nova.objects.flavor import Flavor
from nova.objects.instance_group import InstanceGroup
from nova.objects.request_spec import RequestSpec
from nova.scheduler import host_manager, weights
from nova.virt import event
from nova.virt.libvirt import utils

from p2pcs_nova import errors, traits, wire
from p2pcs_nova.client import local
from p2pcs_nova.scheduler import filters, stats, weighers
from p2pcs_nova.virt import (
    events,
    faults,
    images,
    inventory,
    translate,
    view,
)
from tests.integration.nova import helpers

State = wire.InstanceState
DIGEST = 'ab' * 64


def make_vif(**changes: Any) -> Any:
    network = model.Network(
        id='n',
        label='lan',
        mtu=1400,
        subnets=[model.Subnet(ips=[model.FixedIP(address='198.19.0.7')])],
    )
    vif = {
        'id': helpers.PORT,
        'address': 'FA:16:3E:00:00:01',
        'network': network,
        'type': 'tap',
        'details': {'physical_network': 'office'},
        **changes,
    }
    return model.VIF(**vif)


def test_vif_carries_what_a_pc_plugs() -> None:
    assert translate.vif_to_wire(make_vif()) == wire.Vif(
        port=helpers.PORT,
        mac='fa:16:3e:00:00:01',
        network='office',
        ips=('198.19.0.7',),
        mtu=1400,
    )


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'vnic_type': 'direct'}, 'vnic_type direct'),
        ({'details': {}}, 'network lan is not a flat network'),
        ({'details': {}, 'type': 'ovs'}, 'vif_type is ovs'),
    ],
)
def test_vif_that_no_pc_plugs_is_named(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(translate.NotPluggable, match=reason):
        translate.vif_to_wire(make_vif(**changes))


def test_every_other_state_has_a_power_state_that_never_suspends() -> None:
    for state in set(State) - {State.SUSPENDED}:
        assert translate.state_to_power_state(state) in (
            power_state.NOSTATE,
            power_state.RUNNING,
            power_state.PAUSED,
            power_state.SHUTDOWN,
        )


@pytest.mark.parametrize(
    ('before', 'after', 'transition'),
    [
        ('SHUTDOWN', 'RUNNING', event.EVENT_LIFECYCLE_STARTED),
        ('NOSTATE', 'RUNNING', event.EVENT_LIFECYCLE_STARTED),
        ('PAUSED', 'RUNNING', event.EVENT_LIFECYCLE_RESUMED),
        ('SUSPENDED', 'RUNNING', event.EVENT_LIFECYCLE_RESUMED),
        ('RUNNING', 'SUSPENDED', None),
        ('RUNNING', 'PAUSED', event.EVENT_LIFECYCLE_PAUSED),
        ('RUNNING', 'SHUTDOWN', event.EVENT_LIFECYCLE_STOPPED),
        ('RUNNING', 'NOSTATE', None),
        ('RUNNING', 'RUNNING', None),
    ],
)
def test_changes_that_nova_knows_are_told(
    before: str, after: str, transition: int | None
) -> None:
    assert transition == translate.change_to_event(
        getattr(power_state, before), getattr(power_state, after)
    )


@pytest.mark.parametrize(
    ('error', 'kind'),
    [
        (errors.NoPeerFits, exception.ComputeResourcesUnavailable),
        (errors.NoSpace, exception.ComputeResourcesUnavailable),
        (errors.Unsupported, exception.InvalidInput),
        (errors.ImageRefused, exception.ImageUnacceptable),
        (errors.Unreachable, exception.InstanceDeployFailure),
        (errors.StaleTerm, exception.InstanceDeployFailure),
    ],
)
def test_errors_of_a_build_become_novas(
    error: type[errors.P2PcsError], kind: type[Exception]
) -> None:
    fault = faults.build_fault(error('the reason'), 'image')
    assert type(fault) is kind
    assert 'the reason' in str(fault)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'os_hash_algo': 'md5'}, 'os_hash_algo is md5'),
        ({'os_hash_algo': None}, 'os_hash_algo is None'),
        ({'os_hash_value': None}, 'digest'),
        ({'size': 0}, 'no bytes'),
        ({'disk_format': 'vmdk'}, 'disk_format vmdk'),
    ],
)
def test_image_that_cannot_be_named_or_read_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    image = {
        'id': 'i',
        'name': 'tiny',
        'os_hash_algo': 'sha512',
        'os_hash_value': DIGEST,
        'size': 5,
        'disk_format': 'qcow2',
    }
    assert images.glance_to_wire(image) == wire.Image(
        f'sha512:{DIGEST}', 'qcow2', 5, 'tiny'
    )
    with pytest.raises(exception.ImageUnacceptable, match=reason):
        images.glance_to_wire(image | changes)


def test_legacy_diagnostics_name_each_device() -> None:
    shown = translate.diagnostics_to_legacy(
        wire.Diagnostics(
            state=State.RUNNING,
            uptime_s=1,
            cpu_time_ns=(10, 20),
            memory_mb=2,
            memory_used_mb=1,
            nics=(wire.NicDiagnostics('m', tx_octets=3, rx_drop=4),),
            disks=(wire.DiskDiagnostics(read_bytes=5),),
        )
    )
    assert shown['cpu1_time'] == 20
    assert shown['memory'] == 2048
    assert (shown['vnet0_tx'], shown['vnet0_rx_drop']) == (3, 4)
    assert shown['disk0_read'] == 5


class Watched:
    """A watcher over the fake overlay, and what it tells."""

    def __init__(self) -> None:
        self.overlay = helpers.make_overlay('gold')
        self.client = self.overlay.client()
        self.view = view.View()
        self.told: queue.Queue[tuple[str, int]] = queue.Queue()
        self.watcher = events.Watcher(
            cast(local.LocalClient, self.client),
            'gold',
            self.view,
            lambda uuid, transition: self.told.put((uuid, transition)),
        )
        row = helpers.stranger(self.overlay.pcs[0], 1)
        row.state = State.RUNNING
        self.uuid = row.spec.instance
        self.overlay.rows[self.uuid] = row

    def next(self) -> tuple[str, int]:
        return self.told.get(timeout=60)


@pytest.fixture
def watched() -> Any:
    found = Watched()
    found.watcher.look()
    found.watcher.start()
    yield found
    found.watcher.stop()
    found.overlay.changed()


def test_watcher_tells_what_guests_do(watched: Watched) -> None:
    watched.overlay.set_state(watched.uuid, State.STOPPED)
    assert watched.next() == (watched.uuid, event.EVENT_LIFECYCLE_STOPPED)
    watched.overlay.set_state(watched.uuid, State.RUNNING)
    assert watched.next() == (watched.uuid, event.EVENT_LIFECYCLE_STARTED)


def test_watcher_is_silent_on_loss_and_speaks_on_return(
    watched: Watched,
) -> None:
    pc = watched.overlay.rows[watched.uuid].pc
    watched.overlay.set_reachable(pc.name, False)
    watched.watcher.look()
    watched.overlay.set_reachable(pc.name, True)
    assert watched.next() == (watched.uuid, event.EVENT_LIFECYCLE_STARTED)


def test_watcher_survives_a_daemon_that_restarts(watched: Watched) -> None:
    watched.overlay.fail['slice'] = errors.Unavailable('gone')
    watched.overlay.fail['placements'] = errors.Unavailable('gone')
    with pytest.raises(errors.Unavailable):
        watched.watcher.look()
    watched.overlay.fail.clear()
    watched.overlay.revision = 0
    watched.overlay.set_state(watched.uuid, State.PAUSED)
    assert watched.next() == (watched.uuid, event.EVENT_LIFECYCLE_PAUSED)


def test_watcher_asks_seldom_for_a_slice_that_is_closed() -> None:
    closed = errors.NotFound('there is no slice gold')
    assert events.retry_s(closed) > 10 * events.retry_s(
        errors.Unavailable('gone')
    )


# -- what the scheduler reads of a slice -------------------------------------


def make_host(name: str, **said: str) -> Any:
    """What Nova's scheduler knows of a host."""
    state = host_manager.HostState(name, name, 'cell')
    state.stats = said
    return state


def make_slice(name: str, *free: int) -> Any:
    """One that has told what is free on its emptiest PC."""
    return make_host(
        name, **dict(zip(inventory.LARGEST_FREE, map(str, free), strict=True))
    )


FREE = make_slice('', 8, 2048, 10240).stats
SPEC = RequestSpec(flavor=Flavor(vcpus=2, memory_mb=512, root_gb=1))


@pytest.mark.parametrize(
    ('state', 'passes', 'slots'),
    [
        (make_slice('room', 8, 2048, 10240), True, 4),
        (make_slice('exactly', 2, 512, 1024), True, 1),
        (make_slice('narrow', 1, 2048, 10240), False, 0),
        (make_slice('full disk', 8, 2048, 1023), False, 0),
        (make_host('ordinary'), True, 0),
        (make_host('strange', **dict.fromkeys(inventory.LARGEST_FREE, '?')),
         True, 0),
        (make_host('asked', **{stats.SLOTS: '7'}), True, 7),
        (make_host('asked since', **FREE, **{stats.SLOTS: '3'}), True, 3),
    ],
    ids=lambda value: getattr(value, 'host', None),
)  # fmt: skip
def test_slice_without_a_pc_with_room_is_filtered_and_room_weighs(
    state: Any, passes: bool, slots: int
) -> None:
    assert filters.P2PRoomFilter().host_passes(state, SPEC) is passes
    assert weighers.P2PSlotsWeigher()._weigh_object(state, SPEC) == slots


def test_host_that_has_told_nothing_yet_passes() -> None:
    state = host_manager.HostState('new', 'new', 'cell')
    assert filters.P2PRoomFilter().host_passes(state, SPEC)
    assert weighers.P2PSlotsWeigher()._weigh_object(state, SPEC) == 0


@pytest.mark.parametrize(
    ('state', 'passes'),
    [
        (make_slice('slice', 1, 512, 1024), True),
        (make_host('asked', **{stats.SLOTS: '0'}), True),
        (make_host('ordinary'), False),
    ],
    ids=lambda value: getattr(value, 'host', None),
)
def test_slice_may_have_servers_that_are_to_be_apart_and_no_host_else(
    state: Any, passes: bool
) -> None:
    here, more = helpers.new_uuid(), helpers.new_uuid()
    state.instances = {here: None}
    group = InstanceGroup(
        uuid=helpers.new_uuid(), policy='anti-affinity', members=[here, more]
    )
    spec = RequestSpec(instance_group=group, instance_uuid=more)
    found = filters.ServerGroupAntiAffinityFilter()
    assert found.host_passes(state, spec) is passes


def test_slice_with_most_room_comes_first() -> None:
    states = [
        make_slice(str(vcpus), vcpus, 4096, 10240) for vcpus in (2, 8, 4)
    ]
    weighed = weights.HostWeightHandler().get_weighed_objects(
        [weighers.P2PSlotsWeigher()], states, SPEC
    )
    assert [one.obj.host for one in weighed] == ['8', '4', '2']


def test_a_flag_has_the_traits_that_the_libvirt_driver_gives_for_it() -> None:
    theirs = {
        _as_kernel(flag): found if isinstance(found, tuple) else (found,)
        for flag, found in utils.CPU_TRAITS_MAPPING.items()
    }
    assert {flag: theirs[flag] for flag in traits.FLAGS} == traits.FLAGS


def _as_kernel(flag: str) -> str:
    """Libvirt's name of a flag as the kernel has it."""
    other = {'avx512vnni': 'avx512_vnni'}
    return other.get(flag, flag.replace('-', '_').replace('.', '_'))
