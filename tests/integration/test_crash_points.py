# SPDX-License-Identifier: Apache-2.0
"""A PC's daemon killed after each durable step of a create and a delete.

The server then exists once and runs, or nothing of it is left.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest

from devstack.lab import overlay, services
from devstack.lab.layout import SLICES
from devstack.lab.machines import Machine
from devstack.lab.services import Service
from p2pcs_nova.peer.steps import Step
from tests.conftest import Figure
from tests.support import crashing_daemon, pcs
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
GENEROUS_S = 180.0


class Victim:
    """The one PC of its slice that takes servers; its daemon crashes."""

    def __init__(self, lab: Lab, pc: Machine) -> None:
        self.lab = lab
        self.pc = pc

    def start(self) -> None:
        """Have its daemon up."""
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
        pcs.wait_for_offer(self.lab, self.pc.name)

    def crash_at(self, step: Step) -> None:
        """Have it killed after this step."""
        path = self.pc.path(str(crashing_daemon.CRASH_AT))
        path.write_text(step.value)

    def wait_for_the_end(self) -> None:
        """Until it is dead."""
        until(lambda: services.find(self.pc, pcs.DAEMON) is None, GENEROUS_S)

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
            yield found
        finally:
            found.pc.path(str(crashing_daemon.CRASH_AT)).unlink(
                missing_ok=True
            )
            overlay.join(lab.layout, pcs.number_of(first.name))


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
    server_id = bench.create(step.value, slice_name=SLICES[0])
    victim.wait_for_the_end()
    begin = time.monotonic()
    victim.start()
    until(lambda: settled(bench, server_id), GENEROUS_S)
    if bench.show(server_id).status == 'ACTIVE':
        until(lambda: is_running(lab, victim, server_id), GENEROUS_S)
    else:
        until(lambda: victim.left(server_id) == [], GENEROUS_S)
    took.append(time.monotonic() - begin)
    bench.delete(server_id)
    assert victim.left(server_id) == []


@pytest.mark.parametrize('step', DELETE, ids=lambda step: step.value)
def test_daemon_killed_in_a_delete(
    lab: Lab, bench: Bench, victim: Victim, took: list[float], step: Step
) -> None:
    server_id = bench.create(step.value, slice_name=SLICES[0])
    bench.wait(server_id)
    victim.crash_at(step)
    lab.admin.compute.delete_server(server_id)
    victim.wait_for_the_end()
    begin = time.monotonic()
    victim.start()
    until(lambda: victim.left(server_id) == [], GENEROUS_S)
    took.append(time.monotonic() - begin)
    bench.delete(server_id)


def settled(bench: Bench, server_id: str) -> bool:
    """Whether Nova has come to an end with a server."""
    server = bench.show(server_id)
    return server.status in ('ACTIVE', 'ERROR') and not server.task_state


def is_running(lab: Lab, victim: Victim, server_id: str) -> bool:
    """Whether its one domain runs."""
    row = pcs.placed(lab, server_id)
    return (
        row is not None
        and row.peer_name == victim.pc.name
        and pcs.domain_state(lab, victim.pc, server_id) == 'running'
    )
