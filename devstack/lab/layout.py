# SPDX-License-Identifier: Apache-2.0
"""Where things are: the lab's folders and addresses."""

from __future__ import annotations

import dataclasses
import ipaddress
import pathlib

LAN = ipaddress.IPv4Network('198.18.0.0/15')
HOST_ADDRESS = '198.18.0.1'
CONTROL_ADDRESS = '198.18.0.2'
#: What guests are told to ask for names: nothing answers there, at once.
DNS_ADDRESS = CONTROL_ADDRESS
GUEST_POOL = ('198.19.0.1', '198.19.255.254')
HOST_CABLE = 'p2pcs0'
SWITCH = 'switch'
CONTROL = 'control'
#: A second gateway; only tests have one.
GATEWAY = 'gw2'
GATEWAY_ADDRESS = '198.18.0.3'
DEFAULT_PCS = 4
#: Each is a daemon, a libvirtd and some QEMUs, all on one machine.
MAX_PCS = 32
SLICES = ('gold', 'silver')


def pc_name(number: int) -> str:
    """The machine name of a PC; PCs count from 1."""
    return f'pc{number}'


def pc_address(number: int) -> str:
    """The address of a PC on the office LAN."""
    if not 1 <= number <= MAX_PCS:
        raise ValueError(f'PC numbers go from 1 to {MAX_PCS}: {number}')
    return f'198.18.1.{number}'


def pc_mac(number: int) -> str:
    """The hardware address of a PC: the same after every power cut."""
    return f'02:50:32:50:00:{number:02x}'


@dataclasses.dataclass(frozen=True)
class Layout:
    """The folders under the project's root."""

    root: pathlib.Path

    @property
    def lab(self) -> pathlib.Path:
        """All run-time state: ``make cloud-down`` removes it."""
        return self.root / '.lab'

    @property
    def cache(self) -> pathlib.Path:
        """What is costly to make and holds no state: it stays."""
        return self.root / '.cache'

    @property
    def cloud_venv(self) -> pathlib.Path:
        """OpenStack, our gateway part, and what the tests need."""
        return self.root / '.venvs' / 'cloud'

    @property
    def peer_venv(self) -> pathlib.Path:
        """What a PC runs, and nothing of OpenStack's services."""
        return self.root / '.venvs' / 'peer'

    @property
    def horizon_venv(self) -> pathlib.Path:
        """The dashboard has requirements of its own."""
        return self.root / '.venvs' / 'horizon'

    @property
    def control(self) -> pathlib.Path:
        """Configuration and data of the control plane."""
        return self.lab / 'control'

    @property
    def passwords(self) -> pathlib.Path:
        """One random password per account, for this lab only."""
        return self.lab / 'passwords.json'

    @property
    def guest_image(self) -> pathlib.Path:
        """The guest's disk image, as ``devstack/guest`` builds it."""
        return self.cache / 'guest' / 'guest.qcow2'

    @property
    def key(self) -> pathlib.Path:
        """The private half of the demo user's key pair."""
        return self.lab / 'id_ed25519'

    def disk(self, machine: str) -> pathlib.Path:
        """What a machine keeps over a power cut (its /etc and /var)."""
        return self.lab / 'disks' / machine

    def log(self, machine: str, service: str) -> pathlib.Path:
        """The log of a service."""
        return self.lab / 'log' / machine / f'{service}.log'

    def etc(self, service: str) -> pathlib.Path:
        """The configuration folder of a control-plane service."""
        return self.control / 'etc' / service

    def computes(self, machine: str = CONTROL) -> pathlib.Path:
        """What a gateway program keeps of the slices' nova-computes."""
        return self.control / 'data' / f'computes-{machine}'

    def compute_conf(self, machine: str = CONTROL) -> pathlib.Path:
        """What all of them are told."""
        return self.etc(f'nova-compute-{machine}') / 'nova.conf'

    def slice_conf(self, slice_name: str) -> pathlib.Path:
        """What one of them is told beside, by the gateway program."""
        return self.computes() / slice_name / 'nova.conf'

    def source(self) -> list[pathlib.Path]:
        """The code that the daemons and the plug-ins run, from here."""
        folders = (self.root / 'gossip', self.root / 'p2pcs_nova')
        return sorted(
            path for folder in folders for path in folder.rglob('*.py')
        )

    def pcs(self) -> list[int]:
        """The numbers of the PCs that this lab has, on or off."""
        folder = self.lab / 'disks'
        if not folder.is_dir():
            return []
        names = (path.name for path in folder.iterdir())
        return sorted(
            int(name[2:])
            for name in names
            if name.startswith('pc') and name[2:].isdecimal()
        )
