# SPDX-License-Identifier: Apache-2.0
"""A PC's daemon killed after each durable step of a create and a delete.

The server then exists once and runs, or nothing of it is left.  Guests
never notice: neither one that runs beside it, nor its own.
"""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
from collections.abc import Iterator

import pytest

from devstack.lab import compute, overlay, services
from devstack.lab.errors import LabError
from devstack.lab.layout import SLICES
from devstack.lab.machines import Machine
from devstack.lab.services import Service
from p2pcs_nova.peer.steps import Step
from tests.conftest import Figure
from tests.support import crashing_daemon, pcs, programs, scene
from tests.support import lab as support
from tests.support.lab import Lab
from tests.support.servers import Bench
from tests.support.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.slow]

CREATE = (
    Step.RIGHT_STORED,
    Step.FOLDER_MADE,
    Step.IMAGE_KEPT,
    Step.DISK_MADE,
    Step.CONFIG_DRIVE_MADE,
    Step.DOMAIN_DEFINED,
    Step.FILTERS_SET,
    Step.DOMAIN_STARTED,
    Step.BUILT_STORED,
    Step.WISH_STORED,
    Step.DOMAIN_RESUMED,
)
DELETE = (
    Step.TOMBSTONE_STORED,
    Step.POWER_CUT,
    Step.DOMAIN_UNDEFINED,
    Step.FILTERS_REMOVED,
    Step.FOLDER_REMOVED,
    Step.RIGHT_FORGOTTEN,
)
UNDO = (Step.FAILURE_STORED, Step.UNDONE_STORED)
GENEROUS_S = 180.0


class Victim:
    """The one PC of its slice that takes servers; its daemon crashes."""

    def __init__(self, lab: Lab, pc: Machine) -> None:
        self.lab = lab
        self.pc = pc
        self._spared: list[str] = []

    def start(self) -> None:
        """Have its daemon up.

        :raises LabError: it ended at once
        """
        service = Service(
            name=pcs.DAEMON,
            argv=(
                str(self.lab.layout.peer_venv / 'bin' / 'python'),
                '-m', 'tests.support.crashing_daemon',
                'run', '--config-file', overlay.CONFIG,
            ),
            env={'PYTHONPATH': str(support.ROOT)},
            ready_path=overlay.SOCKET,
        )  # fmt: skip
        services.ensure(self.lab.layout, self.pc, service)

    def crash_at(self, step: Step) -> None:
        """Have it killed after this step of a server that is not spared."""
        path = self.pc.path(str(crashing_daemon.CRASH_AT))
        path.write_text(' '.join([step.value, *self._spared]))

    def spare_those_here(self) -> None:
        """What it does about the servers it has now lets it live."""
        self._spared = [row.instance for row in pcs.status(self.pc).instances]

    def is_dead(self) -> bool:
        """Whether it has been killed."""
        return services.find(self.pc, pcs.DAEMON) is None

    def wait_for_the_end(self) -> None:
        """Until it is dead."""
        until(self.is_dead, GENEROUS_S)

    def have_built(self, bench: Bench, name: str) -> str:
        """A server that it has built, or was killed about; its id.

        What Nova knows of a slice is some seconds old: it may find no host.
        """
        deadline = time.monotonic() + GENEROUS_S
        while time.monotonic() < deadline:
            found = bench.create(name, slice_name=SLICES[0])
            until(functools.partial(self._is_over, bench, found), GENEROUS_S)
            if self.is_dead() or bench.show(found).status == 'ACTIVE':
                return found
            bench.delete(found)
        raise AssertionError(f'Nova finds no host in {GENEROUS_S:g} s')

    def _is_over(self, bench: Bench, server_id: str) -> bool:
        return self.is_dead() or settled(bench, server_id)

    def wait_for_room(self) -> None:
        """Until it takes servers, and Placement knows so."""
        until(self._offers, GENEROUS_S)
        pcs.wait_for_offer(self.lab, self.pc.name)
        until(self._is_in_placement, GENEROUS_S)

    def _is_in_placement(self) -> bool:
        # All is reserved while no PC takes anything.
        known = scene.inventories(self.lab, SLICES[0])
        return bool(known['VCPU']['reserved'] == 0)

    def _offers(self) -> bool:
        offer = pcs.status(self.pc).offer
        return offer is not None and offer.total.vcpus > 0

    def run_of(self, server_id: str) -> str:
        """Libvirt's number of a run of its guest; '' if it is off."""
        listed = self.lab.inside(self.pc, 'virsh', '-q', 'list', '--uuid')
        if server_id not in listed:
            return ''
        return self.lab.inside(
            self.pc, 'virsh', '-q', 'domid', server_id
        ).strip()

    def left(self, server_id: str) -> list[str]:
        """What it has of a server."""
        now = pcs.status(self.pc)
        folder = self.pc.path(f'{pcs.STATE_DIR}/instances')
        found = [
            f'instance {row.state}'
            for row in now.instances
            if row.instance == server_id and row.state != 'failed'
        ]
        found += [path.name for path in folder.glob(f'{server_id}*')]
        listed = self.lab.inside(
            self.pc, 'virsh', '-q', 'list', '--all', '--uuid'
        )
        return [*found, 'domain'] if server_id in listed else found


@pytest.fixture(scope='module')
def victim(lab: Lab) -> Iterator[Victim]:
    """The others of its slice are closed; all is as before at the end."""
    first, *others = (
        pcs.pcs(lab)[name] for name in pcs.pcs_of_slice(lab, SLICES[0])
    )
    found = Victim(lab, first)
    with pcs.draining(lab, *others):
        try:
            found.start()
            found.wait_for_room()
            yield found
        finally:
            found.pc.path(str(crashing_daemon.CRASH_AT)).unlink(
                missing_ok=True
            )
            overlay.join(lab.layout, pcs.number_of(first.name))


@pytest.fixture(scope='module', autouse=True)
def bystander(victim: Victim, module_bench: Bench) -> str:
    """A server that runs on it all the time."""
    return victim.have_built(module_bench, 'bystander')


@pytest.fixture(autouse=True)
def bystander_notices_nothing(
    lab: Lab, victim: Victim, bystander: str
) -> Iterator[None]:
    """It runs on, whatever happens to the daemon."""
    victim.wait_for_room()
    victim.spare_those_here()
    before = victim.run_of(bystander)
    yield
    assert victim.run_of(bystander) == before
    assert pcs.domain_state(lab, victim.pc, bystander) == 'running'


@pytest.fixture(scope='module')
def took(figure: Figure) -> Iterator[list[float]]:
    """Seconds from a restart to the end of what was begun, for figures."""
    seconds: list[float] = []
    yield seconds
    if seconds:
        what = f'{len(seconds)} crash points, converged:'
        figure(f'{what} median', statistics.median(seconds))
        figure(f'{what} worst', max(seconds))


@pytest.mark.parametrize('step', CREATE, ids=lambda step: step.value)
def test_daemon_killed_in_a_create(
    lab: Lab, bench: Bench, victim: Victim, took: list[float], step: Step
) -> None:
    victim.crash_at(step)
    server_id = victim.have_built(bench, step.value)
    victim.wait_for_the_end()
    run = victim.run_of(server_id)
    begin = time.monotonic()
    victim.start()
    until(lambda: settled(bench, server_id), GENEROUS_S)
    if bench.show(server_id).status == 'ACTIVE':
        until(lambda: is_running(lab, victim, server_id), GENEROUS_S)
        assert victim.run_of(server_id) == run or not run
    else:
        until(lambda: victim.left(server_id) == [], GENEROUS_S)
    took.append(time.monotonic() - begin)
    bench.delete(server_id)
    assert victim.left(server_id) == []


@pytest.mark.parametrize('step', DELETE, ids=lambda step: step.value)
def test_daemon_killed_in_a_delete(
    lab: Lab, bench: Bench, victim: Victim, took: list[float], step: Step
) -> None:
    server_id = victim.have_built(bench, step.value)
    victim.crash_at(step)
    lab.admin.compute.delete_server(server_id)
    victim.wait_for_the_end()
    begin = time.monotonic()
    victim.start()
    until(lambda: victim.left(server_id) == [], GENEROUS_S)
    took.append(time.monotonic() - begin)
    bench.delete(server_id)


@pytest.mark.parametrize('step', UNDO, ids=lambda step: step.value)
def test_daemon_killed_again_while_it_undoes_a_create(
    lab: Lab, bench: Bench, victim: Victim, took: list[float], step: Step
) -> None:
    victim.crash_at(Step.DISK_MADE)
    server_id = victim.have_built(bench, step.value)
    victim.wait_for_the_end()
    victim.crash_at(step)
    # A tombstone of the gateway's would end the build in another way.
    with programs.frozen((lab.control, pcs.DAEMON)):
        with contextlib.suppress(LabError):
            victim.start()
        victim.wait_for_the_end()
    begin = time.monotonic()
    victim.start()
    until(lambda: settled(bench, server_id), GENEROUS_S)
    until(lambda: victim.left(server_id) == [], GENEROUS_S)
    took.append(time.monotonic() - begin)
    bench.delete(server_id)


def test_daemon_killed_when_it_has_stored_a_new_term(
    lab: Lab,
    bench: Bench,
    victim: Victim,
    bystander: str,
    took: list[float],
) -> None:
    victim.crash_at(Step.TERM_STORED)
    programs.kill(lab.control, compute.GATEWAY)
    scene.restart_computes(lab, *SLICES)
    victim.wait_for_the_end()
    begin = time.monotonic()
    victim.start()
    until(lambda: is_running(lab, victim, bystander), GENEROUS_S)
    took.append(time.monotonic() - begin)
    victim.wait_for_room()
    server_id = victim.have_built(bench, 'new-term')
    assert is_running(lab, victim, server_id)


def settled(bench: Bench, server_id: str) -> bool:
    """Whether Nova has come to an end with a server."""
    server = bench.show(server_id)
    return server.status in ('ACTIVE', 'ERROR') and not server.task_state


def is_running(lab: Lab, victim: Victim, server_id: str) -> bool:
    """Whether its one domain runs."""
    row = pcs.placed(lab, server_id)
    return (
        row is not None
        and row.reachable
        and row.peer_name == victim.pc.name
        and pcs.domain_state(lab, victim.pc, server_id) == 'running'
    )
