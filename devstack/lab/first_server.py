# SPDX-License-Identifier: Apache-2.0
"""Boot a server as any user would, and wait until one can log in."""

from __future__ import annotations

import json
import shlex
from typing import Any

from devstack.lab import horizon
from devstack.lab.errors import LabError
from devstack.lab.layout import Layout
from devstack.lab.names import (
    FIRST_SERVER,
    FLAVORS,
    GUEST_USER,
    IMAGE,
    KEY_NAME,
    NETWORK,
)
from devstack.lab.shell import CLEAN_ENVIRONMENT, run
from devstack.lab.waiting import wait_until

WAKE = {'SHUTOFF': 'start', 'PAUSED': 'unpause'}
"""What makes a server of this status ACTIVE again."""
COMMAND_TIMEOUT_S = 60.0
BUILD_TIMEOUT_S = 180
LOGIN_TIMEOUT_S = 120.0
#: Addresses come back with other guests behind them: nothing to remember.
NEW_HOST_OPTIONS = (
    '-o', 'StrictHostKeyChecking=no',
    '-o', 'UserKnownHostsFile=/dev/null',
)  # fmt: skip
SSH_OPTIONS = (
    *NEW_HOST_OPTIONS,
    '-o', 'LogLevel=ERROR',
    '-o', 'BatchMode=yes',
    '-o', 'ConnectTimeout=5',
)  # fmt: skip


def openstack(layout: Layout, *arguments: str, timeout_s: float) -> str:
    """Run the command line client as demo, in an ordinary shell."""
    openrc = shlex.quote(str(layout.lab / 'openrc'))
    return run(
        ['sh', '-c', f'. {openrc} && exec openstack "$@"', 'sh', *arguments],
        timeout_s=timeout_s,
        env=CLEAN_ENVIRONMENT,
    )


def ssh(layout: Layout, address: str, user: str = GUEST_USER) -> list[str]:
    """The command line that logs in at a guest."""
    return [
        'ssh', '-i', str(layout.key), *SSH_OPTIONS, f'{user}@{address}',
    ]  # fmt: skip


def ensure_key(layout: Layout) -> None:
    """The key pair whose public half goes into servers."""
    if not layout.key.exists():
        run(
            [
                'ssh-keygen', '-q', '-t', 'ed25519', '-N', '',
                '-C', 'demo', '-f', str(layout.key),
            ],
            timeout_s=COMMAND_TIMEOUT_S,
        )  # fmt: skip


def _show(layout: Layout) -> Any:
    listing = openstack(
        layout,
        'server', 'list', '--name', f'^{FIRST_SERVER}$', '-f', 'json',
        timeout_s=COMMAND_TIMEOUT_S,
    )  # fmt: skip
    rows = json.loads(listing)
    return rows[0] if rows else None


def create(layout: Layout) -> None:
    """Have the first server ACTIVE, made anew if it is in ERROR.

    One that a power cut, or somebody, has stopped is started again.
    """
    server = _show(layout)
    if server is not None and server['Status'] == 'ERROR':
        openstack(
            layout,
            'server', 'delete', '--wait', FIRST_SERVER,
            timeout_s=COMMAND_TIMEOUT_S,
        )  # fmt: skip
        server = None
    if server is not None:
        wait_until(
            lambda: _is_active(layout),
            f'server {FIRST_SERVER} is ACTIVE',
            BUILD_TIMEOUT_S,
        )
        return
    openstack(
        layout,
        'server', 'create', '--wait',
        '--flavor', FLAVORS[0][0],
        '--image', IMAGE,
        '--network', NETWORK,
        '--key-name', KEY_NAME,
        FIRST_SERVER,
        timeout_s=BUILD_TIMEOUT_S,
    )  # fmt: skip


def _is_active(layout: Layout) -> bool:
    """Whether the first server is ACTIVE; if not, ask for it.

    :raises LabError: it is gone, or in ERROR
    """
    server = _show(layout)
    status = None if server is None else server['Status']
    if status in (None, 'ERROR'):
        raise LabError(f'server {FIRST_SERVER} is {status or "gone"}')
    if status in WAKE:
        openstack(
            layout,
            'server', WAKE[status], FIRST_SERVER,
            timeout_s=COMMAND_TIMEOUT_S,
        )  # fmt: skip
    return bool(status == 'ACTIVE')


def address(layout: Layout) -> str:
    """The first server's address on the office LAN.

    :raises LabError: it has none
    """
    server = _show(layout)
    networks = {} if server is None else server['Networks']
    if not networks.get(NETWORK):
        raise LabError(f'there is no server {FIRST_SERVER} on {NETWORK}')
    return str(networks[NETWORK][0])


def wait_for_login(layout: Layout) -> None:
    """Wait until ssh lets the key's owner in.

    :raises LabError: not in time; the text ends with the console's end
    """
    command = [*ssh(layout, address(layout)), 'true']

    def logged_in() -> bool:
        try:
            run(command, timeout_s=30.0)
        except LabError:
            _is_active(layout)  # Nova may only now hear of a power cut
            return False
        return True

    try:
        wait_until(logged_in, f'ssh to server {FIRST_SERVER}', LOGIN_TIMEOUT_S)
    except LabError as error:
        console = openstack(
            layout,
            'console', 'log', 'show', '--lines', '15', FIRST_SERVER,
            timeout_s=COMMAND_TIMEOUT_S,
        )  # fmt: skip
        raise LabError(f'{error}\n  its console:\n{console}') from error


def farewell(layout: Layout, seconds: float, *, dashboard: bool) -> str:
    """What to try next, to copy and paste."""
    browse = f'    {horizon.URL}  (a user: see .lab/openrc)\n'
    lab = layout.lab
    words = shlex.join(
        [
            'ssh',
            '-i',
            str(layout.key),
            *NEW_HOST_OPTIONS,
            f'{GUEST_USER}@{address(layout)}',
        ]
    )
    return f"""
The cloud is up ({seconds:.0f} s). Try:

    . {shlex.quote(str(lab / 'openrc'))}
    openstack server list
    openstack server create --wait --flavor {FLAVORS[0][0]} --image {IMAGE} \
        --network {NETWORK} --key-name {KEY_NAME} second
    {words}
    p2pcs-manage instance list      # which PC runs which server
    make pc-off PC=2                # a power cut ...
    make pc-on PC=2                 # ... and power again
    make pc-unplug PC=2             # its network cable only ...
    make pc-plug PC=2               # ... and in again
    make pc-status PC=2             # what its owner sees
    make pc-add                     # one more PC joins
{browse if dashboard else ''}
The administrator's file is {lab / 'openrc-admin'}, logs are in
{lab / 'log'}. "make cloud-down" takes everything away.
"""
