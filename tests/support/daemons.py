# SPDX-License-Identifier: Apache-2.0
"""Real daemons as processes on loopback addresses of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import msgspec

from p2pcs_nova import errors, wire
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.identity import token as tokens
from p2pcs_nova.identity.authority import Authority
from p2pcs_nova.identity.store import IdentityStore
from tests.support import waiting

DEADLINE_S = 60.0
TIERS = """\
version: 1
slices:
- {name: gold, match: {tier: gold}}
- {name: silver, match: {tier: silver}}
- {name: rest, match: {}}
"""
_COMMAND = (
    sys.executable,
    '-c',
    'import sys; from p2pcs_nova.daemon.cli import main; sys.exit(main())',
)

Manage = Callable[..., str]
"""p2pcs-manage on the gateway: what it says to these arguments."""


@dataclasses.dataclass
class Machine:
    """One machine: its folder, its address, its daemon if it runs."""

    folder: pathlib.Path
    host: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """As its configuration says."""
        return self.folder.name

    @property
    def conf(self) -> pathlib.Path:
        """Its configuration file."""
        return self.folder / 'p2pcs.conf'

    @property
    def client(self) -> LocalClient:
        """Requests over its UNIX socket."""
        return LocalClient(str(self.folder / 'sock'), timeout_s=DEADLINE_S)

    def write_conf(self, **owner: str) -> None:
        """Configure it without a hypervisor, to offer nothing."""
        lines = [
            '[DEFAULT]',
            f'state_dir = {self.folder / "state"}',
            f'socket = {self.folder / "sock"}',
            f'bind_address = {self.host}',
            f'name = {self.name}',
            '[hypervisor]',
            f'uri = qemu:///system?socket={self.folder / "no-libvirt"}',
            'probe_kvm = false',
            '[owner]',
            *(f'{key} = {value}' for key, value in owner.items()),
        ]
        self.conf.write_text('\n'.join(lines) + '\n')

    def status(self) -> wire.DaemonStatus:
        """What its daemon says."""
        with self.client as client:
            return client.status()

    def run(
        self, *command: str, typed: str = ''
    ) -> subprocess.CompletedProcess[str]:
        """A command of ``p2pcs-peer`` to its end.

        :param typed: its standard input
        """
        return subprocess.run(
            [*_COMMAND, *command, '--config-file', str(self.conf)],
            input=typed,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def start(self) -> None:
        """Start the daemon; returns when it serves.

        :raises AssertionError: it ended, or did not serve in time
        """
        log = self.folder / 'log'
        with log.open('wb') as file:
            self.process = subprocess.Popen(
                [*_COMMAND, 'run', '--config-file', str(self.conf)],
                stderr=file,
            )
        process = self.process
        waiting.until(
            lambda: (
                'serves at' in log.read_text() or process.poll() is not None
            )
        )
        assert process.poll() is None, log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon; returns when it has ended."""
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process = None


class Office:
    """A gateway and some PCs, in one folder; nothing runs yet.

    Two test runs at once do not share their addresses.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        pid = os.getpid()
        self._base = f'127.{40 + pid % 200}.{pid // 200 % 250}'
        self._machines: list[Machine] = []
        self.gateway = self.machine('gw')
        now = datetime.datetime.now(datetime.UTC)
        self.authority = Authority.create(folder / 'ca', 'office', now)
        self.authority.enrol(
            self.gateway.folder / 'state', 'gw', self.gateway.host, 7400, now
        )

    def address(self, number: int) -> str:
        """The address of the machine that was made as this one."""
        return f'{self._base}.{number}'

    def machine(self, name: str, **owner: str) -> Machine:
        """A configured machine that has not joined."""
        folder = self._folder / name
        folder.mkdir()
        host = self.address(len(self._machines) + 1)
        machine = Machine(folder, host)
        machine.write_conf(**owner)
        self._machines.append(machine)
        return machine

    def joined(self, name: str, **owner: str) -> Machine:
        """A machine that has joined; its daemon does not run yet."""
        machine = self.machine(name, **owner)
        with self.gateway.client as client:
            token = client.create_token(600)
        result = machine.run('join', token)
        assert result.returncode == 0, result.stderr
        return machine

    def apply(self, policy: str) -> None:
        """Sign a policy, and put it in force."""
        with self.gateway.client as client:
            client.apply_policy(self.authority.sign_policy(policy))

    def close(self) -> None:
        """End all daemons."""
        with contextlib.ExitStack() as stack:
            for machine in self._machines:
                stack.callback(machine.stop)


@contextlib.contextmanager
def office(folder: pathlib.Path, policy: str = TIERS) -> Iterator[Office]:
    """An office whose gateway runs, by this policy."""
    place = Office(folder)
    try:
        place.gateway.start()
        place.apply(policy)
        yield place
    finally:
        place.close()


def cloned(office: Office, machine: Machine) -> Machine:
    """A machine with the disk of another one that has joined."""
    clone = office.machine(f'{machine.name}-clone')
    shutil.copytree(machine.folder / 'state', clone.folder / 'state')
    return clone


def peer_id(machine: Machine) -> str:
    """Of a machine that has joined."""
    return IdentityStore(machine.folder / 'state/identity').load().peer_id


def peer_row(machine: Machine, name: str) -> wire.PeerRow | None:
    """How a gateway lists a peer; None if it does not know it."""
    with machine.client as client:
        try:
            rows = client.peers().peers
        except errors.Unavailable:
            return None
    return next((row for row in rows if row.name == name), None)


def reseed(token_text: str, seeds: list[str]) -> str:
    """The same token, naming other seeds."""
    parsed = tokens.text_to_token(token_text)
    return tokens.token_to_text(
        msgspec.structs.replace(parsed, seeds=tuple(seeds))
    )
