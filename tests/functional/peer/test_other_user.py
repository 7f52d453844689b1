# SPDX-License-Identifier: Apache-2.0
"""libvirt as distributions ship it: QEMU runs as a user of its own."""

import grp
import pathlib
import pwd
import tempfile
from collections.abc import Iterator

import pytest

from p2pcs_nova import wire
from p2pcs_nova.peer.libvirt_host import LibvirtHost
from tests.support import one_peer, private_libvirtd

pytestmark = [pytest.mark.libvirt, pytest.mark.trio]

USER = 'libvirt-qemu'


@pytest.fixture
def stock() -> Iterator[private_libvirtd.PrivateLibvirtd]:
    """QEMU's user, and libvirt changing owners, are the defaults."""
    if reason := private_libvirtd.missing():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix='lu') as name:
        folder = pathlib.Path(name)
        folder.chmod(0o711)
        with private_libvirtd.private_libvirtd(
            folder, private_libvirtd.NO_SECURITY
        ) as daemon:
            yield daemon


async def test_guest_runs_and_its_user_owns_only_its_own_files(
    stock: private_libvirtd.PrivateLibvirtd, guest: bytes
) -> None:
    image = one_peer.image_of(guest, 'qcow2')
    spec = one_peer.spec_of(image, need=wire.Capacity(1, 128, 200))
    async with one_peer.one_peer(
        stock.folder / 'state',
        LibvirtHost(stock.uri, call_timeout_s=60.0),
        stock.apply_filters,
        [guest],
        sysfs=stock.sysfs,
    ) as peer:
        await peer.wait(lambda: peer.service.offer().total.vcpus > 0)
        await peer.place(spec)
        status = await peer.act(spec, wire.Action.START)
        assert status.state is wire.InstanceState.RUNNING
        owners = {
            path.name: path.stat().st_uid
            for path in peer.layout.root.rglob('*')
            if path.is_file()
        }
        user = pwd.getpwnam(USER).pw_uid
        assert owners['disk.qcow2'] == owners['config.iso'] == user
        # Others share the image: a guest that breaks out must not own it.
        # Its name is in the list of processes, for every user of the PC.
        base = (peer.layout.images / image.digest.replace(':', '-')).stat()
        assert (base.st_uid, base.st_mode & 0o777) == (0, 0o440)
        assert base.st_gid == grp.getgrnam(USER).gr_gid
        once = wire.SnapshotRequest(60.0, wire.Counter(1, 1))
        async with peer.orders.snapshot(
            one_peer.GOLD, spec.instance, once
        ) as copy:
            assert copy.stat().st_uid == 0
        for action, state in (
            (wire.Action.SUSPEND, wire.InstanceState.SUSPENDED),
            (wire.Action.RESUME, wire.InstanceState.RUNNING),
        ):
            assert (await peer.act(spec, action)).state is state
        await peer.bury(spec)
    assert list(peer.layout.instances.iterdir()) == []
