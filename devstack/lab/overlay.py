# SPDX-License-Identifier: Apache-2.0
"""The daemons: a gateway beside the control plane, one peer per PC.

They are set up as an operator and an owner would do it, with
``p2pcs-manage`` and ``p2pcs-peer``; PCs know a join token, nothing else.
"""

from __future__ import annotations

import http.client
import json
import pathlib
import shutil
import socket
from collections.abc import Iterable
from typing import Any

from devstack.lab import machines, services
from devstack.lab.errors import LabError, Stopped
from devstack.lab.ini import Ini, render
from devstack.lab.layout import (
    CONTROL,
    CONTROL_ADDRESS,
    SLICES,
    Layout,
    pc_name,
)
from devstack.lab.machines import Machine
from devstack.lab.network import PC_BRIDGE
from devstack.lab.passwords import write_private
from devstack.lab.services import Service
from devstack.lab.settings import PHYSICAL_NETWORK
from devstack.lab.shell import CLEAN_ENVIRONMENT, run
from devstack.lab.waiting import wait_until

NAME = 'lab'
GATEWAY_NAME = 'gw1'
CONFIG = '/etc/p2pcs/p2pcs.conf'
STATE = '/var/lib/p2pcs'
SOCKET = '/run/p2pcs/p2pcs.sock'
OFFER = {'vcpus': 4, 'memory_mb': 1024, 'disk_mb': 4096}
COMMAND_TIMEOUT_S = 60.0
JOIN_TIMEOUT_S = 120.0
SEEN_TIMEOUT_S = 60.0
SOCKET_TIMEOUT_S = 10.0


def pc_configuration(number: int) -> Ini:
    """The owner's file of a PC: what it offers, to which tier, from where.

    Two PCs share a floor, each is its owner's.
    """
    tier = SLICES[(number - 1) % len(SLICES)]
    return {
        'owner': {
            **OFFER,
            'attributes': f'tier:{tier},floor:{(number + 1) // 2},'
            f'owner:owner{number}',
            'bridge_mappings': f'{PHYSICAL_NETWORK}:{PC_BRIDGE}',
        },
    }


def gateway_configuration(
    layout: Layout, machine: str = CONTROL, address: str = CONTROL_ADDRESS
) -> Ini:
    """A gateway's file."""
    return {
        'DEFAULT': {'advertise_address': address},
        'compute': {
            'program': str(layout.cloud_venv / 'bin' / 'nova-compute'),
            'config_files': str(layout.compute_conf(machine)),
            'folder': str(layout.computes(machine)),
            'log_folder': str(layout.log(machine, 'any').parent),
        },
    }


def daemon(
    layout: Layout, venv: pathlib.Path, configuration: pathlib.Path
) -> Service:
    """The daemon of either role: its certificate says which."""
    return Service(
        name='p2pcs-peer',
        argv=(
            str(venv / 'bin' / 'p2pcs-peer'),
            'run',
            '--config-file',
            CONFIG,
        ),
        configuration=(configuration, *layout.source()),
        ready_path=SOCKET,
    )


def manage(layout: Layout, control: Machine, *arguments: str) -> str:
    """Run p2pcs-manage on the control plane's host."""
    command = str(layout.cloud_venv / 'bin' / 'p2pcs-manage')
    return run(
        control.enter(command, *arguments),
        timeout_s=COMMAND_TIMEOUT_S,
        env=CLEAN_ENVIRONMENT,
    )


def bring_up_gateway(layout: Layout) -> None:
    """Make CA, gateway and policy, once; have the gateway's daemon up."""
    control = machines.get(layout, CONTROL)
    authority = layout.control / 'ca'
    enrolled = layout.control / 'done' / 'gateway'
    if not enrolled.exists():
        shutil.rmtree(authority, ignore_errors=True)
        _empty(control.path(STATE))
        manage(
            layout, control, 'ca', 'init',
            '--ca-dir', str(authority), '--overlay', NAME,
        )  # fmt: skip
        manage(
            layout, control, 'gateway', 'enrol', '--ca-dir', str(authority),
            '--state-dir', STATE, '--name', GATEWAY_NAME,
            '--advertise', CONTROL_ADDRESS,
        )  # fmt: skip
        enrolled.parent.mkdir(parents=True, exist_ok=True)
        enrolled.touch()
    configuration = layout.disk(CONTROL) / 'etc' / 'p2pcs' / 'p2pcs.conf'
    write_private(configuration, render(gateway_configuration(layout)))
    services.ensure(
        layout, control, daemon(layout, layout.cloud_venv, configuration)
    )
    if ask(control, '/v1/policy')['policy'] is None:
        manage(
            layout, control, 'policy', 'apply', '--ca-dir', str(authority),
            str(layout.root / 'etc' / 'p2pcs' / 'policy.yaml'),
        )  # fmt: skip


def join(layout: Layout, number: int) -> None:
    """Have the PC a member of the overlay, its daemon up."""
    name = pc_name(number)
    pc = machines.get(layout, name)
    disk = layout.disk(name)
    configuration = disk / 'etc' / 'p2pcs' / 'p2pcs.conf'
    if not configuration.exists():
        write_private(configuration, render(pc_configuration(number)))
    joined = disk / '.joined'
    if not joined.exists():
        _join(layout, pc)
        joined.touch()
    services.ensure(
        layout, pc, daemon(layout, layout.peer_venv, configuration)
    )


def _join(layout: Layout, pc: Machine) -> None:
    control = machines.get(layout, CONTROL)
    token = manage(layout, control, 'token', 'create').strip()
    services.stop(pc, 'p2pcs-peer')
    _empty(pc.path(STATE))
    run(
        pc.enter(
            str(layout.peer_venv / 'bin' / 'p2pcs-peer'),
            'join', token, '--config-file', CONFIG,
        ),
        timeout_s=JOIN_TIMEOUT_S,
        env=CLEAN_ENVIRONMENT,
    )  # fmt: skip


def _empty(folder: pathlib.Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket, which may be inside a machine."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__('localhost', timeout=SOCKET_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SOCKET_TIMEOUT_S)
        self.sock.connect(str(self._path))


def ask(machine: Machine, path: str) -> Any:
    """The JSON that a machine's daemon answers on its UNIX socket.

    :raises LabError: it does not answer, or refuses
    """
    connection = _UnixConnection(machine.path(SOCKET))
    try:
        connection.request('GET', path)
        answer = connection.getresponse()
        body = answer.read()
    except OSError as error:
        raise LabError(f'{machine.name}: p2pcs-peer: {error}') from error
    finally:
        connection.close()
    if answer.status != 200:
        raise LabError(f'{machine.name}: {path}: {body.decode()}')
    return json.loads(body)


def without_offer(layout: Layout, names: Iterable[str]) -> list[str]:
    """Those of the PCs that offer nothing to the gateway, and why.

    One that its owner drains has an offer: it takes nothing new. One that
    the operator has put out is not waited for.
    """
    try:
        rows = ask(machines.get(layout, CONTROL), '/v1/peers')['peers']
    except LabError as error:
        return [str(error)]
    seen = {row['name']: row for row in rows if row['role'] == 'peer'}
    out = {row['name'] for row in rows if row['state'] == 'revoked'}
    return [
        f'{name}: {_why(seen.get(name))}'
        for name in names
        if not _offers(seen.get(name)) and (name in seen or name not in out)
    ]


def _offers(row: dict[str, Any] | None) -> bool:
    return (
        row is not None
        and row['state'] in ('alive', 'draining')
        and bool(row['slice'])
        and row['offer']['vcpus'] > 0
    )


def _why(row: dict[str, Any] | None) -> str:
    if row is None:
        return 'not in the overlay'
    return f'{row["state"]}; {row["reason"] or "it offers nothing"}'


def wait_for_offers(layout: Layout, *numbers: int) -> None:
    """Wait until the gateway sees what these PCs offer.

    :raises LabError: some do not in time; each is named, with why
    """
    missing: list[str] = []

    def complete() -> bool:
        missing[:] = without_offer(layout, map(pc_name, numbers))
        return not missing

    try:
        wait_until(complete, 'the PCs make their offers', SEEN_TIMEOUT_S)
    except Stopped:
        raise
    except LabError as error:
        lines = '\n'.join(f'    {line}' for line in missing)
        raise LabError(f'{error}\n{lines}') from None


def _slice_rows(layout: Layout) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ask(
        machines.get(layout, CONTROL), '/v1/slices'
    )['slices']
    return rows


def slices(layout: Layout) -> list[str]:
    """The slices that there are; those that are drained too."""
    return [row['name'] for row in _slice_rows(layout)]


def slices_with_room(layout: Layout) -> list[str]:
    """The slices that have a PC which takes servers.

    :raises LabError: none has
    """
    found = [
        row['name'] for row in _slice_rows(layout) if row['largest']['vcpus']
    ]
    if not found:
        raise LabError(
            'no PC takes servers: are all of them drained? '
            '(make pc-status PC=1)'
        )
    return found
