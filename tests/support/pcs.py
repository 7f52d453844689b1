# SPDX-License-Identifier: Apache-2.0
"""What the PCs of the lab, and its gateway, say and hold."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
from collections.abc import Iterator

import msgspec
from lxml import etree

from devstack.lab import machines, overlay, services
from devstack.lab.layout import pc_address, pc_name
from devstack.lab.machines import Machine
from p2pcs_nova import wire
from p2pcs_nova.peer import networks
from tests.support import lab as support
from tests.support.lab import Lab
from tests.support.servers import Server
from tests.support.waiting import until

DAEMON = 'p2pcs-peer'
STATE_DIR = '/var/lib/p2pcs'
INSTANCES = f'{STATE_DIR}/instances'


def pcs(lab: Lab) -> dict[str, Machine]:
    """The PCs that are on, by name."""
    found = (
        machines.find(lab.layout, pc_name(number))
        for number in lab.layout.pcs()
    )
    return {pc.name: pc for pc in found if pc is not None}


def number_of(name: str) -> int:
    """The number of the PC with this name."""
    return int(name.removeprefix('pc'))


def status(pc: Machine) -> wire.DaemonStatus:
    """What a daemon says of itself on its own machine."""
    answer = overlay.ask(pc, '/v1/status')
    return msgspec.convert(answer, wire.DaemonStatus)


def peer_row(lab: Lab, name: str) -> wire.PeerRow | None:
    """What the gateway says of the PC with this name."""
    answer = overlay.ask(lab.control, '/v1/peers')
    rows = msgspec.convert(answer, wire.PeerRows).peers
    found = [
        row
        for row in rows
        if (row.name, row.role) == (name, 'peer') and row.state != 'revoked'
    ]
    return found[0] if found else None


def wait_for_state(lab: Lab, name: str, state: str) -> None:
    """Wait until the gateway sees a PC so."""

    def so() -> bool:
        row = peer_row(lab, name)
        return row is not None and row.state == state

    until(so, 120.0)


def wait_for_offer(lab: Lab, name: str) -> None:
    """Wait until the gateway sees a PC alive, with its offer."""

    def so() -> bool:
        row = peer_row(lab, name)
        return row is not None and row.state == 'alive' and row.offer.vcpus > 0

    until(so, 120.0)


def placed(lab: Lab, server_id: str) -> wire.Placed | None:
    """Where the gateway has an instance."""
    answer = overlay.ask(lab.control, '/v1/instances')
    for row in msgspec.convert(answer, wire.PlacedRows).instances:
        if row.status.instance == server_id:
            return row
    return None


def explain(lab: Lab, server: str, *more: str) -> list[dict[str, str]]:
    """What ``p2pcs-manage explain`` tells."""
    said = overlay.manage(
        lab.layout, lab.control, 'explain', server, '-f', 'json', *more
    )
    rows: list[dict[str, str]] = json.loads(said)
    return rows


def where(lab: Lab, server_id: str) -> str:
    """The name of the PC that a server is on."""
    row = placed(lab, server_id)
    assert row is not None, f'the gateway has no instance {server_id}'
    return row.peer_name


def ask_as(
    lab: Lab, machine: Machine, target: str, term: wire.Counter, *only: str
) -> dict[str, str]:
    """What a PC answers to the identity of this machine.

    :param only: what to ask; see :mod:`tests.support.asking`
    :returns: the code of the refusal of each, '' if it was served
    """
    row = peer_row(lab, target)
    assert row is not None
    layout = lab.layout
    is_pc = machine.name in pcs(lab)
    venv = layout.peer_venv if is_pc else layout.cloud_venv
    answer = lab.inside(
        machine,
        'env', f'PYTHONPATH={support.ROOT}',
        str(venv / 'bin' / 'python'), '-m', 'tests.support.asking',
        row.peer, pc_address(number_of(target)), row.slice,
        str(term.era), str(term.n), *only,
    )  # fmt: skip
    codes: dict[str, str] = json.loads(answer)
    return codes


def empty(lab: Lab, slice_name: str) -> list[Machine]:
    """The PCs of a slice that hold no instance."""
    machines = pcs(lab)
    found = [machines[name] for name in pcs_of_slice(lab, slice_name)]
    return [pc for pc in found if not status(pc).instances]


def slice_summary(lab: Lab, name: str) -> wire.SliceSummary:
    """A slice as the gateway tells nova-compute."""
    answer = overlay.ask(lab.control, f'/v1/slices/{name}')
    return msgspec.convert(answer, wire.SliceSummary)


def pcs_of_slice(lab: Lab, name: str) -> list[str]:
    """The names of a slice's PCs."""
    answer = overlay.ask(lab.control, '/v1/peers')
    rows = msgspec.convert(answer, wire.PeerRows).peers
    return sorted(row.name for row in rows if row.slice == name)


def running_on(lab: Lab, server_id: str) -> list[str]:
    """The names of the PCs that have a live domain of a server."""
    return [
        name
        for name, pc in pcs(lab).items()
        if server_id in lab.inside(pc, 'virsh', '-q', 'list', '--uuid')
    ]


def wait_until_whole(lab: Lab) -> None:
    """Wait until every PC and the gateway see each other."""
    machines = [lab.control, *pcs(lab).values()]

    def whole() -> bool:
        return all(
            (said.members_alive, said.members_failed) == (len(machines), 0)
            for said in map(status, machines)
        )

    until(whole, 120.0)


def domain_state(lab: Lab, pc: Machine, server_id: str) -> str:
    """What libvirt says of a domain: running, paused, shut off."""
    return lab.inside(pc, 'virsh', '-q', 'domstate', server_id).strip()


def domain_xml(lab: Lab, pc: Machine, server_id: str) -> etree._Element:
    """The domain of a server."""
    return etree.fromstring(lab.inside(pc, 'virsh', 'dumpxml', server_id))


def traces(lab: Lab, server: Server) -> list[str]:
    """What is left of a server on any PC that is on, in words."""
    tap = networks.tap_name(server.port)
    found = []
    for name, pc in pcs(lab).items():
        domains = lab.inside(pc, 'virsh', '-q', 'list', '--all', '--uuid')
        folder = pc.path(INSTANCES)
        now = status(pc)
        kept = [row.need for row in now.instances if row.state != 'failed']
        held = sum(kept, start=wire.Capacity())
        tests = {
            'domain': server.id in domains,
            'folder': any(folder.glob(f'{server.id}*')),
            'tap': pc_has_link(lab, pc, tap),
            'filter': tap in lab.inside(pc, 'nft', 'list', 'ruleset'),
            'instance': any(r.instance == server.id for r in now.instances),
            'promise': now.used != held or (not kept and now.bound != ''),
        }
        found += [f'{name}: {what}' for what, there in tests.items() if there]
    return found


def wait_until_gone(lab: Lab, server: Server) -> None:
    """Wait until no PC that is on has anything of a server."""
    until(lambda: not traces(lab, server), 120.0)


def pc_has_link(lab: Lab, pc: Machine, link: str) -> bool:
    """Whether a PC has a network interface of this name."""
    links = lab.inside(pc, 'ip', '-o', 'link')
    return any(line.split()[1].rstrip(':') == link for line in _lines(links))


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


@contextlib.contextmanager
def added(lab: Lab) -> Iterator[str]:
    """One more PC while the body runs; its name.  Nothing of it stays."""
    number = max(lab.layout.pcs()) + 1
    name = pc_name(number)
    try:
        support.make('pc-add')
        yield name
    finally:
        services.stop(lab.pc(number), DAEMON)
        lab.pc_off(number)
        shutil.rmtree(lab.layout.disk(name))
        until(lambda: peer_row(lab, name) is None)


@contextlib.contextmanager
def stopped(*frozen: tuple[Machine, str]) -> Iterator[None]:
    """Programs that do nothing more (SIGSTOP) while the body runs."""
    with contextlib.ExitStack() as undo:
        for machine, name in frozen:
            undo.callback(services.send, machine, name, signal.SIGCONT)
            services.send(machine, name, signal.SIGSTOP)
        yield


@contextlib.contextmanager
def draining(lab: Lab, *closed: Machine) -> Iterator[None]:
    """PCs whose owners have closed them to new work for a while.

    The gateway knows of it when the body runs, and of its end after it.
    """
    command = str(lab.layout.peer_venv / 'bin' / 'p2pcs-peer')
    with contextlib.ExitStack() as undo:
        for pc in closed:
            undo.callback(wait_for_state, lab, pc.name, 'alive')
            undo.callback(lab.inside, pc, command, 'undrain')
            lab.inside(pc, command, 'drain')
        for pc in closed:
            wait_for_state(lab, pc.name, 'draining')
        yield
