# SPDX-License-Identifier: Apache-2.0
"""Where a daemon keeps what must survive a power cut."""

from __future__ import annotations

import dataclasses
import pathlib


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
    def peer_database(self) -> pathlib.Path:
        """What a PC has promised: SQLite."""
        return self.root / 'peer.sqlite'

    @property
    def gateway_database(self) -> pathlib.Path:
        """What a gateway has signed: SQLite."""
        return self.root / 'gateway.sqlite'

    @property
    def images(self) -> pathlib.Path:
        """The image cache, files named by digest."""
        return self.root / 'images'

    @property
    def instances(self) -> pathlib.Path:
        """One folder per (instance, epoch)."""
        return self.root / 'instances'
