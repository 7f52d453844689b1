# SPDX-License-Identifier: Apache-2.0
"""PCs that fail and lose power, and what Nova hears of it.

Servers whose slice matters are the administrator's: only he may name one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import subprocess
import time
from collections.abc import Mapping

import msgspec
import pytest

from devstack.lab import overlay, services
from devstack.lab.layout import SLICES, pc_address
from devstack.lab.machines import Machine
from devstack.lab.shell import CLEAN_ENVIRONMENT, run
from p2pcs_nova import wire
from p2pcs_nova.layout import Layout
from p2pcs_nova.peer.store import Store
from tests.conftest import Converged, Figure
from tests.support import faults, pcs
from tests.support import lab as support
from tests.support.faults import Fault
from tests.support.lab import Lab
from tests.support.servers import (
    NO_STATE,
    Bench,
    Server,
    power_states,
    wait_for_login,
)
from tests.support.waiting import until

pytestmark = pytest.mark.lab

SAVED = '/root/saved'
BOOT_ID = '/proc/sys/kernel/random/boot_id'


def make(target: str, number: int) -> None:
    """A command of the README, as its reader gives it."""
    run(
        ['make', target, f'PC={number}'],
        timeout_s=support.LAB_TIMEOUT_S,
        env=CLEAN_ENVIRONMENT,
        cwd=support.ROOT,
    )


def nova_events(lab: Lab, server_id: str) -> list[str]:
    """What nova's compute hosts did to create a server."""
    path = f'/servers/{server_id}/os-instance-actions'
    actions = lab.admin.compute.get(path).json()['instanceActions']
    (create,) = [found for found in actions if found['action'] == 'create']
    detail = lab.admin.compute.get(f'{path}/{create["request_id"]}').json()
    return [
        event['event']
        for event in detail['instanceAction']['events']
        if event['event'].startswith('compute_')
    ]


def listed_reasons(lab: Lab) -> dict[str, str]:
    """Why PCs offer less than one would expect, as an operator sees it."""
    said = overlay.manage(
        lab.layout, lab.control, 'peer', 'list', '-f', 'json'
    )
    return {row['Name']: row['Reason'] for row in json.loads(said)}


def row_of(lab: Lab, pc: Machine) -> wire.PeerRow:
    """The same of one PC, and more, as its gateway has it."""
    row = pcs.peer_row(lab, pc.name)
    assert row is not None
    return row


def gives_reason(lab: Lab, pc: Machine, reason: str) -> bool:
    """Whether the gateway has it from a PC."""
    return reason in row_of(lab, pc).reason


def offers_all(lab: Lab, pc: Machine) -> bool:
    """Whether a PC offers what its owner has written down."""
    return row_of(lab, pc).offer == wire.Capacity(**overlay.OFFER)


@pytest.mark.parametrize('together', faults.NOTICED, ids=' and '.join)
def test_pcs_that_cannot_serve_say_why_until_they_can(
    lab: Lab,
    bench: Bench,
    figure: Figure,
    converged: Converged,
    together: Mapping[str, Fault],
) -> None:
    """A fault in each slice, to spend time on both at once."""
    ailing = [
        (name, pcs.empty(lab, slice_name)[0], slice_name)
        for name, slice_name in zip(together, SLICES, strict=False)
    ]
    with contextlib.ExitStack() as undo:
        for name, pc, _ in ailing:
            undo.enter_context(together[name].on(lab, pc))
        begin = time.monotonic()
        for name, pc, _ in ailing:
            reason = together[name].reason
            until(functools.partial(gives_reason, lab, pc, reason))
            figure(f'{name}: noticed', time.monotonic() - begin)
            assert row_of(lab, pc).state == 'alive'
            assert reason in '; '.join(pcs.status(pc).reasons)
        listed = listed_reasons(lab)
        begin = time.monotonic()
        made = [bench.create('next', slice_name=s) for _, _, s in ailing]
        for found, (name, pc, _) in zip(made, ailing, strict=True):
            assert together[name].reason in listed[pc.name]
            bench.wait(found)
            figure(f'{name}: create in its slice', time.monotonic() - begin)
            assert pcs.where(lab, found) != pc.name
        begin = time.monotonic()
    for name, pc, _ in ailing:
        until(functools.partial(offers_all, lab, pc))
        converged(name, time.monotonic() - begin)
        assert not gives_reason(lab, pc, together[name].reason)


def test_spawn_that_fails_on_one_pc_goes_to_another_unheard_by_nova(
    lab: Lab, bench: Bench
) -> None:
    slice_name = SLICES[0]
    machines = [pcs.pcs(lab)[n] for n in pcs.pcs_of_slice(lab, slice_name)]
    failing, *_ = pcs.empty(lab, slice_name)
    others = [pc for pc in machines if pc != failing]
    log = lab.layout.log(failing.name, pcs.DAEMON)
    # A PC that failed before comes last, until it has built something.
    with pcs.draining(lab, *others):
        found = bench.create('trusted', slice_name=slice_name)
        bench.wait(found)
        assert pcs.where(lab, found) == failing.name
    bench.delete(found)
    # The emptiest PC is taken first: have all others less empty.
    with pcs.draining(lab, failing):
        for _ in others:
            bench.wait(bench.create('filler', slice_name=slice_name))
    with faults.read_only_disk(lab, failing):
        found = bench.create('second-try', slice_name=slice_name)
        bench.wait(found)
        assert f'[instance {found}] not built' in log.read_text()
    assert pcs.where(lab, found) != failing.name
    assert nova_events(lab, found) == ['compute__do_build_and_run_instance']
    server = bench.show(found)
    assert server.hypervisor_hostname in (None, slice_name)
    until(lambda: not pcs.status(failing).instances)
    assert pcs.status(failing).used.vcpus == 0


@dataclasses.dataclass(frozen=True)
class Pair:
    """The two servers of one PC; one can log in at the first."""

    kept: Server
    unwanted: Server
    pc: Machine

    @property
    def number(self) -> int:
        """The number of their PC."""
        return pcs.number_of(self.pc.name)


@pytest.fixture
def pair(lab: Lab, bench: Bench) -> Pair:
    """Two servers on a PC that is otherwise empty."""
    pc, *_ = (one for name in SLICES for one in pcs.empty(lab, name))
    others = [one for one in pcs.pcs(lab).values() if one != pc]
    with pcs.draining(lab, *others):
        made = [bench.create(name) for name in ('kept', 'unwanted')]
        kept, unwanted = map(bench.get, made)
    wait_for_login(lab, kept)
    lab.ssh(kept.address, f'echo kept >{SAVED}; sync')
    return Pair(kept, unwanted, pc)


def operator(lab: Lab, *command: str) -> str:
    """What ``p2pcs-manage instance`` says."""
    return overlay.manage(lab.layout, lab.control, 'instance', *command)


def quarantined(lab: Lab) -> list[tuple[str, str]]:
    """Instances, and their PCs, as an operator has them listed."""
    said = operator(lab, 'list', '--quarantined', '-f', 'json')
    return [(row['Instance'], row['PC']) for row in json.loads(said)]


def pass_days(lab: Lab, pair: Pair) -> None:
    """Have the PC's daemon count the last second of a quarantine."""
    services.stop(pair.pc, pcs.DAEMON)
    folder = lab.layout.disk(pair.pc.name) / pcs.STATE_DIR.lstrip('/')
    with contextlib.closing(Store(Layout(folder).peer_database)) as store:
        entry = store.load().entries[pair.unwanted.id]
        store.put_entry(msgspec.structs.replace(entry, left_s=1.0))
    overlay.join(lab.layout, pair.number)


def test_unplugged_pc_keeps_its_server_and_freezes_what_was_given_up(
    lab: Lab, bench: Bench, pair: Pair, converged: Converged
) -> None:
    kept, unwanted, name = pair.kept, pair.unwanted, pair.pc.name
    before = lab.ssh(kept.address, 'cat', BOOT_ID)
    make('pc-unplug', pair.number)
    try:
        assert not answers_ping(pc_address(pair.number))
        pcs.wait_for_state(lab, name, 'failed')
        assert bench.show(kept.id).status == 'ACTIVE'
        bench.delete(unwanted.id)
        said = operator(lab, 'forget', unwanted.id)
        assert said == (
            f'instance {unwanted.id}: {name} is not waited for any more\n'
        )
        assert operator(lab, 'list', '--deleted', '-f', 'value') == ''
        ports = functools.partial(
            lab.admin.network.ports, device_id=unwanted.id
        )
        until(lambda: not list(ports()))
    finally:
        begin = time.monotonic()
        make('pc-plug', pair.number)
    assert answers_ping(pc_address(pair.number))
    pcs.wait_for_offer(lab, name)
    wait_for_login(lab, kept)
    converged('cable pulled', time.monotonic() - begin)
    assert lab.ssh(kept.address, 'cat', BOOT_ID) == before
    assert bench.show(kept.id).status == 'ACTIVE'
    # The gateway does not know the other one any more.
    until(lambda: quarantined(lab) == [(unwanted.id, name)], poll_s=1.0)
    assert pcs.domain_state(lab, pair.pc, unwanted.id) == 'paused'
    pass_days(lab, pair)
    pcs.wait_until_gone(lab, unwanted)
    until(lambda: quarantined(lab) == [], poll_s=1.0)
    assert lab.ssh(kept.address, 'cat', BOOT_ID) == before


def test_power_cut_is_survived_by_the_disk(
    lab: Lab, bench: Bench, pair: Pair, figure: Figure, converged: Converged
) -> None:
    server, doomed, name = pair.kept, pair.unwanted, pair.pc.name
    row = pcs.placed(lab, server.id)
    assert row is not None
    booted = lab.ssh(server.address, 'cat', BOOT_ID)
    make('pc-off', pair.number)
    try:
        assert name not in pcs.pcs(lab)
        pcs.wait_for_state(lab, name, 'failed')
        assert bench.show(server.id).status == 'ACTIVE'
        states, _ = power_states(lab, row.status.slice, server.id)
        assert states[server.id] == [NO_STATE]
        other = bench.create('meanwhile', slice_name=row.status.slice)
        bench.wait(other)
        assert pcs.where(lab, other) != name
        begin = time.monotonic()
        bench.delete(doomed.id)
        figure('PC off: delete one of its servers', time.monotonic() - begin)
    finally:
        begin = time.monotonic()
        make('pc-on', pair.number)
        figure('make pc-on', time.monotonic() - begin)
    # Its gateway confirms what is wanted: it runs, and the rest is gone.
    wait_for_login(lab, server)
    converged('power cut', time.monotonic() - begin)
    assert bench.show(server.id).status == 'ACTIVE'
    assert lab.ssh(server.address, 'cat', SAVED) == 'kept\n'
    assert lab.ssh(server.address, 'cat', BOOT_ID) != booted
    pcs.wait_until_gone(lab, doomed)
    pcs.wait_for_offer(lab, name)


def answers_ping(address: str) -> bool:
    """Whether a machine of the LAN answers within some seconds."""
    done = subprocess.run(
        ['ping', '-c', '3', '-W', '2', address],
        capture_output=True,
        timeout=30,
    )
    return done.returncode == 0


def test_make_refuses_a_pc_that_is_not_there(lab: Lab) -> None:
    done = subprocess.run(
        ['make', 'pc-off', 'PC=99'],
        cwd=support.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode
    there = ', '.join(map(str, lab.layout.pcs()))
    assert f'there is no PC 99; there are: {there}\n' in done.stderr
    done = subprocess.run(
        ['make', 'pc-off'],
        cwd=support.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode
    assert 'say which PC' in done.stderr
