# SPDX-License-Identifier: Apache-2.0
"""PCs that do nothing for a while: a frozen daemon, a PC that sleeps."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Sequence

import pytest

from devstack.lab.layout import SLICES
from devstack.lab.machines import Machine
from tests.conftest import Converged, Figure
from tests.support import pcs, programs
from tests.support.lab import Lab
from tests.support.servers import (
    NO_STATE,
    RUNNING,
    Bench,
    Server,
    power_states,
    wait_for_login,
)
from tests.support.waiting import until

pytestmark = pytest.mark.lab

QUICK_S = 2.0
"""A question that waits for a silent daemon is given up after this."""
MOST = 8
"""Servers, by which each slice has one of them."""
BOOT_ID = '/proc/sys/kernel/random/boot_id'


def boottime() -> float:
    """Seconds that count while a machine sleeps, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclasses.dataclass(frozen=True)
class Silent:
    """A PC that will be silent, and what is on it.

    :param doomed: a server to be deleted while the PC is silent
    """

    pc: Machine
    slice: str
    kept: Server
    doomed: Server
    boot_id: str


def place(lab: Lab, bench: Bench) -> list[Silent]:
    """An empty PC of each slice, with two servers on it."""
    taken = {name: pcs.empty(lab, name)[0] for name in SLICES}
    everybody = pcs.pcs(lab).values()
    others = [pc for pc in everybody if pc not in taken.values()]
    kept: dict[str, Server] = {}
    with pcs.draining(lab, *others):
        doomed = [bench.create(f'doomed-{s}', slice_name=s) for s in SLICES]
        # Nova's scheduler spreads them; only an administrator may choose.
        for number in range(MOST):
            server = bench.get(bench.create(f'kept-{number}'))
            kept.setdefault(pcs.where(lab, server.id), server)
            if len(kept) == len(SLICES):
                break
        gone = dict(zip(SLICES, map(bench.get, doomed), strict=True))
    return [
        Silent(
            pc, name, kept[pc.name], gone[name], boot_id(lab, kept[pc.name])
        )
        for name, pc in taken.items()
    ]


def boot_id(lab: Lab, server: Server) -> str:
    """Which boot of the guest this is; once one can log in."""
    wait_for_login(lab, server)
    return lab.ssh(server.address, 'cat', BOOT_ID)


def assert_nobody_waits(
    lab: Lab, silent: Silent, healthy: str, figure: Figure
) -> None:
    """Nova hears of its slice at once, also that it is out of reach."""
    name, slice_name, kept = silent.pc.name, silent.slice, silent.kept.id
    before = pcs.slice_summary(lab, slice_name)
    # At once, while the gateway still believes that it is alive ...
    states, longest = power_states(lab, slice_name, kept, healthy)
    assert states[healthy] == [RUNNING]
    assert set(states[kept]) <= {RUNNING, NO_STATE}
    assert longest < QUICK_S
    figure('frozen PC: longest get_info, not noticed yet', longest)
    pcs.wait_for_state(lab, name, 'failed')
    # ... and when it knows better.
    states, longest = power_states(lab, slice_name, kept, healthy)
    assert states == {kept: [NO_STATE], healthy: [RUNNING]}
    assert longest < QUICK_S
    figure('frozen PC: longest get_info, unreachable', longest)
    row = pcs.placed(lab, kept)
    assert row is not None
    assert not row.reachable
    summary = pcs.slice_summary(lab, slice_name)
    assert summary.unreachable == 1
    one_pc = pcs.peer_row(lab, name)
    assert one_pc is not None
    assert summary.total.vcpus == (
        before.total.vcpus - one_pc.offer.vcpus + one_pc.used.vcpus
    )
    assert summary.used == before.used
    begin = time.monotonic()
    listed = lab.openstack('server', 'list', '-f', 'json')
    figure('frozen PC: openstack server list', time.monotonic() - begin)
    status = {line['ID']: line['Status'] for line in json.loads(listed)}
    assert status[kept] == 'ACTIVE'


def use_the_cloud(
    lab: Lab, bench: Bench, silent: Sequence[Silent], figure: Figure
) -> None:
    """Servers of these PCs are deleted, new ones go elsewhere."""
    for one in silent:
        pcs.wait_for_state(lab, one.pc.name, 'failed')
    begin = time.monotonic()
    bench.delete(*(one.doomed.id for one in silent))
    figure('silent PCs: delete a server of each', time.monotonic() - begin)
    for one in silent:
        begin = time.monotonic()
        other = bench.create('elsewhere', slice_name=one.slice)
        bench.wait(other)
        figure('silent PC: create in its slice', time.monotonic() - begin)
        assert pcs.where(lab, other) != one.pc.name


@pytest.mark.parametrize(
    'silent_s', [60.0, pytest.param(600.0, marks=pytest.mark.slow)]
)
def test_pcs_that_were_silent_go_on_where_they_were(
    lab: Lab,
    bench: Bench,
    figure: Figure,
    converged: Converged,
    silent_s: float,
) -> None:
    """On one PC the daemon is frozen, on another one everything."""
    frozen, asleep = silent = place(lab, bench)
    healthy = bench.create('healthy', slice_name=frozen.slice)
    bench.wait(healthy)
    assert pcs.where(lab, healthy) != frozen.pc.name
    with contextlib.ExitStack() as thaw:
        thaw.enter_context(pcs.stopped((frozen.pc, pcs.DAEMON)))
        thaw.enter_context(programs.asleep(asleep.pc))
        end = boottime() + silent_s
        assert_nobody_waits(lab, frozen, healthy, figure)
        use_the_cloud(lab, bench, silent, figure)

        def is_over() -> bool:
            for one in silent:
                assert bench.show(one.kept.id).status == 'ACTIVE'
                assert pcs.where(lab, one.kept.id) == one.pc.name
            return boottime() >= end

        until(is_over, silent_s + 60.0, 1.0)
        begin = time.monotonic()
    pcs.wait_until_whole(lab)
    for what, one in (('frozen daemon', frozen), ('PC asleep', asleep)):
        pcs.wait_for_offer(lab, one.pc.name)
        pcs.wait_until_gone(lab, one.doomed)
        converged(f'{what} for {silent_s:g} s', time.monotonic() - begin)
        row = pcs.placed(lab, one.kept.id)
        assert row is not None
        assert row.reachable
        assert bench.show(one.kept.id).status == 'ACTIVE'
        assert pcs.running_on(lab, one.kept.id) == [one.pc.name]
        assert boot_id(lab, one.kept) == one.boot_id
        assert pcs.slice_summary(lab, one.slice).unreachable == 0
