# SPDX-License-Identifier: Apache-2.0
"""Nova's own test bases, with our fake overlay behind the driver."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Iterator
from typing import Any

from nova import context as nova_context
from nova import exception, objects, test
from nova.network import model
from nova.tests import fixtures as nova_fixtures
from nova.tests.unit import utils as test_utils
from nova.virt import fake, node

from p2pcs_nova import wire
from p2pcs_nova.virt import driver as ours
from p2pcs_nova.virt import extension
from tests.support import fake_overlay

TestCase: Any = test.TestCase
FakeVirtAPI: Any = fake.FakeVirtAPI
IMAGE_BYTES = b'not a real image ' * 1024
POLLS = frozenset({'slice', 'placements', 'instance', 'graves'})
"""Calls that ask and change nothing."""
PORT = test_utils.FAKE_VIF_UUID
NODE = '11111111-2222-4333-8444-555555555555'


def new_uuid() -> str:
    """A random one."""
    return str(uuid.uuid4())


def make_overlay(
    *slices: str, vcpus: int = 4, memory_mb: int = 8192
) -> fake_overlay.FakeOverlay:
    """Two PCs for each slice."""
    offer = wire.Capacity(vcpus, memory_mb, 200 * 1024)
    return fake_overlay.FakeOverlay(
        fake_overlay.FakePc(f'{name}-pc{n}', name, offer)
        for name in slices
        for n in (1, 2)
    )


def stand_in_for_the_gateway(
    case: Any, overlay: fake_overlay.FakeOverlay
) -> None:
    """Give every client that the driver makes this overlay."""
    case.stub_out(
        'p2pcs_nova.client.local.LocalClient',
        lambda socket, timeout_s=10.0, authority=None: overlay.client(),
    )


def stand_in_for_glance(case: Any) -> None:
    """Let Nova's fixture have digests and bytes; note whose token reads."""
    glance = nova_fixtures.GlanceFixture
    show = glance.show
    case.readers = []

    def show_more(self: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        case.readers.append(context)
        image: dict[str, Any] = show(self, context, *args, **kwargs)
        if image.get('disk_format') == 'ami':
            image['disk_format'] = 'raw'
        image['os_hash_algo'] = 'sha512'
        image['os_hash_value'] = hashlib.sha512(IMAGE_BYTES).hexdigest()
        image['size'] = len(IMAGE_BYTES)
        return image

    update = glance.update

    def update_more(
        self: Any,
        context: Any,
        image_id: str,
        metadata: dict[str, Any],
        data: Any = None,
        purge_props: bool = False,
    ) -> dict[str, Any]:
        image: dict[str, Any] = update(
            self, context, image_id, metadata, data, purge_props
        )
        if data is not None:
            # As Glance's client reads it.
            pieces = list(iter(lambda: data.read(2**16), b''))
            # As a text: Nova hands its images on in messages.
            image['data'] = b''.join(pieces).decode('latin-1')
            image['size'] = len(image['data'])
            image['status'] = 'active'
        return image

    case.stub_out('nova.tests.fixtures.GlanceFixture.show', show_more)
    case.stub_out('nova.tests.fixtures.GlanceFixture.update', update_more)

    def download(self: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        case.readers.append(context)
        return [IMAGE_BYTES]

    case.stub_out('nova.tests.fixtures.GlanceFixture.download', download)


def stand_in_for_nova_and_neutron(case: Any) -> None:
    """Flavors that we support, ports that our mechanism driver bound."""
    stand_in_for_glance(case)
    test_utils.get_test_flavor(options={'ephemeral_gb': 0, 'swap': 0})
    case.stub_out('nova.tests.unit.utils.get_test_network_info', network_info)
    case.stub_out(
        'nova.network.security_group_api.get_instance_security_groups',
        lambda *args, **kwargs: [],
    )
    stand_in_for_our_extension(case)


def stand_in_for_our_extension(case: Any) -> None:
    """Neutron with our service plug-in, and no rules."""
    for name in ('report_plugged', 'report_unplugged', 'hold_addresses'):
        case.stub_out(f'p2pcs_nova.virt.extension.{name}', lambda *args: None)
    case.stub_out(
        'p2pcs_nova.virt.extension.slice_ports',
        lambda context, host: wire.SlicePorts(),
    )


_network_info = test_utils.get_test_network_info


def network_info(count: int = 1, details: dict[str, Any] | None = None) -> Any:
    """Nova's, bound as our mechanism driver binds."""
    found = _network_info(count)
    for vif in found:
        vif['type'] = model.VIF_TYPE_TAP
        vif['details'] = (
            {'physical_network': 'office'} if details is None else details
        )
        vif['active'] = False
        for subnet in vif['network']['subnets']:
            subnet['ips'] = [
                model.FixedIP(address=ip['address']) for ip in subnet['ips']
            ]
    return found


class WaitingVirtAPI(FakeVirtAPI):  # type: ignore[misc]
    """Notes what is waited for, and when."""

    def __init__(self, case: DriverTestCase) -> None:
        self._case = case

    @contextlib.contextmanager
    def wait_for_instance_event(
        self,
        instance: Any,
        event_names: list[tuple[str, str]],
        timeout: float = 300,
        error_callback: Any = None,
    ) -> Iterator[None]:
        self._case.waited.append(event_names)
        self._case.requests_when_waiting = [
            call for call in self._case.overlay.requests if call not in POLLS
        ]
        yield
        if self._case.wait_times_out:
            raise exception.InstanceEventTimeout()


class RunByPytest:
    """Nova's test case deletes its attributes, pytest's own among them."""

    def _clear_attrs(self) -> None:
        """Keep them."""


class DriverTestCase(RunByPytest, TestCase):  # type: ignore[misc]
    """One driver for slice gold, on two PCs."""

    def setUp(self) -> None:
        super().setUp()
        self.overlay = make_overlay('gold')
        stand_in_for_the_gateway(self, self.overlay)
        self.images = self.useFixture(nova_fixtures.GlanceFixture(self))
        self.report = extension.report_plugged
        self.hold = extension.hold_addresses
        stand_in_for_nova_and_neutron(self)
        self.stub_out(
            'p2pcs_nova.virt.extension.report_plugged',
            lambda *args: self.overlay.requests.append('plugged'),
        )
        self.held: list[tuple[str, str, str]] = []
        self.stub_out(
            'p2pcs_nova.virt.extension.hold_addresses',
            lambda context, *said: self.held.append(said),
        )
        self.written: list[str] = []
        self.stub_out(
            'nova.virt.node.write_local_node_uuid', self.written.append
        )
        self.stub_out('nova.virt.node.LOCAL_NODE_UUID', NODE)
        assert node.get_local_node_uuid() == NODE
        self.waited: list[Any] = []
        self.requests_when_waiting: list[str] = []
        self.wait_times_out = False
        self.context = nova_context.get_admin_context()
        self.virtapi = WaitingVirtAPI(self)
        self.driver = ours.P2PDriver(self.virtapi)
        self.driver.init_host('gold')
        self.addCleanup(self.driver.cleanup_host, 'gold')

    def spawn(
        self,
        *,
        vcpus: int = 1,
        extra_specs: dict[str, str] | None = None,
        properties: dict[str, Any] | None = None,
        details: dict[str, Any] | None = None,
        config_drive: bool = False,
        power_on: bool = True,
    ) -> Any:
        """Have the driver build a server."""
        flavor = test_utils.get_test_flavor(
            options={
                'name': new_uuid(),
                'flavorid': new_uuid(),
                'vcpus': vcpus,
                'root_gb': 1,
                'memory_mb': 512,
                'ephemeral_gb': 0,
                'swap': 0,
                'extra_specs': extra_specs or {},
            }
        )
        instance = test_utils.get_test_instance(flavor=flavor, obj=True)
        instance.host = 'gold'
        instance.config_drive = 'True' if config_drive else ''
        instance.metadata = {}
        instance.hostname = 'server'
        self.building = instance
        image_meta = test_utils.get_test_image_object(None, instance)
        # That look was the test's own.
        self.readers.clear()
        image_meta.properties = objects.ImageMetaProps.from_dict(
            properties or {}
        )
        self.driver.spawn(
            self.context,
            instance,
            image_meta,
            [],
            'herp',
            {},
            network_info=network_info(details=details),
            power_on=power_on,
        )
        return instance


def stranger(pc: fake_overlay.FakePc, vcpus: int) -> fake_overlay.Row:
    """What another user of the PC holds."""
    return fake_overlay.Row(
        pc,
        wire.InstanceSpec(
            instance=new_uuid(),
            name='stranger',
            need=wire.Capacity(vcpus=vcpus),
            image=wire.Image('sha256:' + '0' * 64, 'raw', 1),
            root_mb=1,
        ),
        wire.Counter(0, 0),
    )
