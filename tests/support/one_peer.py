# SPDX-License-Identifier: Apache-2.0
"""A PC's service with all that a test needs around it."""

import contextlib
import dataclasses
import hashlib
import pathlib
import time
import types
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

import trio
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import errors, run_right, wire
from p2pcs_nova.journal import Journal
from p2pcs_nova.layout import Layout
from p2pcs_nova.peer import health, networks
from p2pcs_nova.peer.capacity import OwnerRules
from p2pcs_nova.peer.filters import Apply
from p2pcs_nova.peer.hypervisor import Hypervisor
from p2pcs_nova.peer.orders import Orders
from p2pcs_nova.peer.service import PeerService
from p2pcs_nova.peer.standing import Standing
from p2pcs_nova.peer.steps import Passed, log_step
from p2pcs_nova.peer.surroundings import Surroundings

PEER = 'a' * 32
GATEWAY = 'b' * 32
GOLD = wire.Command('gold', wire.Counter(1, 1))
RULES = OwnerRules(
    vcpus=4,
    memory_mb=2048,
    disk_mb=8192,
    attributes={'tier': 'gold'},
    bridge_mappings={'office': 'br0'},
)
PLAIN = wire.Machine()
NOTHING: Mapping[str, str] = types.MappingProxyType({})
NEED = wire.Capacity(1, 128, 64)


class FilterTable:
    """Takes what nftables would be told."""

    def __init__(self) -> None:
        self.vifs: list[wire.Vif] = []
        self.times = 0
        self.failing = False

    async def apply(self, vifs: Iterable[wire.Vif]) -> None:
        await trio.lowlevel.checkpoint()
        if self.failing:
            raise errors.HypervisorFailed('nft refused the filters')
        self.vifs = list(vifs)
        self.times += 1


@dataclasses.dataclass
class OnePeer:
    """A running service and the gateway that commands it."""

    service: PeerService
    key: ed25519.Ed25519PrivateKey
    layout: Layout
    fetched: list[str]
    changes: list[None]
    command: wire.Command = GOLD
    """Slice and term that go with every request."""

    @property
    def orders(self) -> Orders:
        """What its gateways may ask of it."""
        return self.service.orders

    @property
    def standing(self) -> Standing:
        """For whom it takes anything."""
        return self.service.standing

    def right(
        self,
        spec: wire.InstanceSpec,
        n: int = 1,
        other: Mapping[str, str] = NOTHING,
    ) -> wire.Signed:
        """A run right for this PC, signed by the gateway."""
        parts = {
            'instance': spec.instance,
            'peer': PEER,
            'slice': 'gold',
            'image': spec.image.digest,
            **other,
        }
        right = wire.RunRight(epoch=wire.Counter(1, n), **parts)
        return run_right.sign_run_right(right, self.key, GATEWAY)

    async def place(
        self, spec: wire.InstanceSpec, n: int = 1
    ) -> wire.InstanceStatus:
        """Claim and build."""
        reservation = await self.orders.claim(
            self.command,
            wire.Claim(
                spec.instance, spec.need, tuple(v.network for v in spec.vifs)
            ),
        )
        return await self.orders.build(
            self.command,
            spec.instance,
            wire.BuildRequest(reservation.id, self.right(spec, n), spec),
        )

    async def start(self, spec: wire.InstanceSpec) -> wire.InstanceStatus:
        """Claim, build, and let it run."""
        await self.place(spec)
        return await self.act(spec, wire.Action.START)

    async def act(
        self,
        spec: wire.InstanceSpec,
        action: wire.Action,
        n: int = 1,
        timeout_s: float = 0.0,
    ) -> wire.InstanceStatus:
        """Command the instance."""
        return await self.orders.act(
            self.command,
            spec.instance,
            wire.ActionRequest(action, timeout_s, wire.Counter(1, n)),
        )

    async def filter(
        self, spec: wire.InstanceSpec, *ports: wire.PortFilter, n: int = 1
    ) -> None:
        """Say what may pass at its ports."""
        await self.orders.filter(
            self.command,
            spec.instance,
            wire.FilterRequest(ports, wire.Counter(1, n)),
        )

    async def bury(self, spec: wire.InstanceSpec, n: int = 1) -> None:
        """Send a tombstone."""
        await self.orders.bury(
            self.command,
            spec.instance,
            wire.Tombstone(spec.instance, wire.Counter(1, n)),
        )

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Until the service is as the test wants it."""
        await until(condition)


async def until(
    condition: Callable[[], bool], timeout_s: float = 120.0
) -> None:
    """Look again and again, to a generous deadline."""
    with trio.fail_after(timeout_s):
        while True:
            if condition():
                return
            await trio.sleep(0.02)


def image_of(content: bytes, format_: str = 'raw') -> wire.Image:
    """An image of these bytes."""
    return wire.Image(
        digest='sha256:' + hashlib.sha256(content).hexdigest(),
        format=format_,
        size_bytes=len(content),
        name='test',
    )


def vif(number: int = 1) -> wire.Vif:
    """A port."""
    return wire.Vif(
        port=str(uuid.uuid4()),
        mac=f'fa:16:3e:00:00:{number:02x}',
        network='office',
        ips=(f'198.19.0.{number}',),
    )


def spec_of(
    image: wire.Image,
    *,
    need: wire.Capacity = NEED,
    vifs: int = 1,
    machine: wire.Machine = PLAIN,
) -> wire.InstanceSpec:
    """An instance of this image."""
    return wire.InstanceSpec(
        instance=str(uuid.uuid4()),
        name='test <1>',
        need=need,
        image=image,
        root_mb=need.disk_mb,
        config_drive=(
            wire.ConfigFile('openstack/latest/meta_data.json', b'{}'),
        ),
        machine=machine,
        vifs=tuple(vif(number + 1) for number in range(vifs)),
    )


@contextlib.asynccontextmanager
async def one_peer(
    root: pathlib.Path,
    hypervisor: Hypervisor,
    apply_filters: Apply,
    contents: Iterable[bytes] = (),
    *,
    rules: OwnerRules = RULES,
    sysfs: pathlib.Path = networks.SYSFS,
    meminfo: pathlib.Path = health.MEMINFO,
    passed: Passed = log_step,
    reservation_s: float = 30.0,
    restore_after_s: float = 0.0,
) -> AsyncIterator[OnePeer]:
    """A running service, offering what the rules say.

    :param contents: the images that its gateway has
    """
    store = {image_of(c).digest: c for c in contents}
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = key.public_key().public_bytes_raw()
    fetched: list[str] = []
    changes: list[None] = []

    @contextlib.asynccontextmanager
    async def fetch(
        digest: str, right: wire.Signed
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(store[digest]), 65536):
                await trio.lowlevel.checkpoint()
                yield store[digest][start : start + 65536]

        run_right.open_run_right(right, public)
        fetched.append(digest)
        yield chunks()

    layout = Layout(root)
    service = PeerService(
        layout,
        rules,
        hypervisor,
        Surroundings(
            peer_id=PEER,
            name='pc1',
            boot_id='01',
            release='1',
            clock=lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
            gateway_key=lambda peer: public if peer == GATEWAY else None,
            fetch_image=fetch,
            journal=Journal(layout.journal, 'pc1', lambda: 0.0),
            on_change=lambda: changes.append(None),
        ),
        apply_filters=apply_filters,
        sysfs=sysfs,
        meminfo=meminfo,
        passed=passed,
        reservation_s=reservation_s,
        restore_after_s=restore_after_s,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        yield OnePeer(service, key, layout, fetched, changes)
        nursery.cancel_scope.cancel()
