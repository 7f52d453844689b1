# SPDX-License-Identifier: Apache-2.0
"""A PC whose hypervisor and nftables are in memory."""

import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from p2pcs_nova.peer import networks, service
from p2pcs_nova.peer.steps import Passed, log_step
from tests.support.fake_hypervisor import FakeHypervisor
from tests.support.one_peer import FilterTable, OnePeer, one_peer

CONTENT = b'the bytes of an image' * 500


@dataclasses.dataclass
class Pc:
    """What outlives the daemon of a PC: its disk, domains and filters."""

    root: pathlib.Path
    hypervisor: FakeHypervisor
    table: FilterTable
    sysfs: pathlib.Path
    meminfo: pathlib.Path

    def run(
        self, *, passed: Passed = log_step, reservation_s: float = 30.0
    ) -> AbstractAsyncContextManager[OnePeer]:
        """Its daemon, offering."""
        return self._run(passed, reservation_s, offering=True)

    def run_as_it_is(self) -> AbstractAsyncContextManager[OnePeer]:
        """Its daemon, whether or not it offers anything."""
        return self._run(log_step, 30.0, offering=False)

    @contextlib.asynccontextmanager
    async def _run(
        self, passed: Passed, reservation_s: float, *, offering: bool
    ) -> AsyncIterator[OnePeer]:
        async with one_peer(
            self.root,
            self.hypervisor,
            self.table.apply,
            [CONTENT],
            sysfs=self.sysfs,
            meminfo=self.meminfo,
            passed=passed,
            reservation_s=reservation_s,
        ) as peer:
            if offering:
                await peer.wait(lambda: peer.service.offer().total.vcpus > 0)
            yield peer

    def instance_folders(self) -> list[str]:
        """What is left of instances on the disk."""
        return sorted(p.name for p in (self.root / 'instances').iterdir())


@pytest.fixture
def pc(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Pc:
    monkeypatch.setattr(service, 'RETRY_S', 0.01)
    sysfs = tmp_path / 'sysfs'
    bridge = sysfs / 'br0' / 'bridge'
    bridge.mkdir(parents=True)
    monkeypatch.setattr(networks, 'NETFILTER', bridge)
    meminfo = tmp_path / 'meminfo'
    meminfo.write_text('MemFree: 1 kB\nMemAvailable:    8388608 kB\n')
    return Pc(
        tmp_path / 'state', FakeHypervisor(), FilterTable(), sysfs, meminfo
    )
