# SPDX-License-Identifier: Apache-2.0
"""Have Neutron read its rules, by a request that comes alone.

Run as ``rules PASSWORDS``. Neutron reads them when somebody first asks it
anything, and takes those that it has not yet read for refusals: whoever
asks meanwhile is forbidden what he may do.
"""

from __future__ import annotations

import json
import pathlib
import sys

from devstack.lab.inside.cloud import connect


def main(passwords: pathlib.Path) -> None:
    """Ask for what takes rules, and nothing else."""
    words = json.loads(passwords.read_text())
    list(connect('admin', words['admin'], 'admin').network.networks())


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]))
