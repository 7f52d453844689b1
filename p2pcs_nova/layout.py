# SPDX-License-Identifier: Apache-2.0
"""Where a daemon keeps what must survive a power cut, and is found.

The defaults are here because several programs share them: the daemon, the
operator's and the owner's commands, Nova's driver.
"""

from __future__ import annotations

import dataclasses
import pathlib

STATE_DIR = '/var/lib/p2pcs'
CONFIG_FILE = '/etc/p2pcs/p2pcs.conf'
SOCKET = '/run/p2pcs/p2pcs.sock'
PORT = 7400
"""UDP port of the overlay and TCP port of requests."""
JOIN_PORT = 7401
"""TCP port that answers PCs which want to join."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """The folders and files under ``state_dir``.

    QEMU, as a user of its own, passes through it to the disks (mode
    0711); keys are in folders of mode 0700.
    """

    root: pathlib.Path

    @property
    def identity(self) -> pathlib.Path:
        """Key, certificates, credential, ring keys, seeds of this daemon."""
        return self.root / 'identity'

    @property
    def issuer(self) -> pathlib.Path:
        """A gateway's intermediate CA, and its tokens."""
        return self.root / 'issuer'

    @property
    def policy(self) -> pathlib.Path:
        """The policy and the slice map that are in force."""
        return self.root / 'policy.json'

    @property
    def peer_database(self) -> pathlib.Path:
        """What a PC has promised: SQLite."""
        return self.root / 'peer.sqlite'

    @property
    def ballast(self) -> pathlib.Path:
        """Room on a PC's disk that is given up when it is full."""
        return self.root / 'ballast'

    @property
    def measured(self) -> pathlib.Path:
        """What a PC has measured of itself."""
        return self.root / 'measured.json'

    @property
    def gateway_database(self) -> pathlib.Path:
        """What a gateway has signed: SQLite."""
        return self.root / 'gateway.sqlite'

    @property
    def journal(self) -> pathlib.Path:
        """What was logged of instances, for a while."""
        return self.root / 'journal'

    @property
    def images(self) -> pathlib.Path:
        """The image cache, files named by digest."""
        return self.root / 'images'

    @property
    def instances(self) -> pathlib.Path:
        """One folder per (instance, epoch)."""
        return self.root / 'instances'
