# SPDX-License-Identifier: Apache-2.0
"""What every file of ours has."""

from __future__ import annotations

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_every_module_begins_with_its_licence() -> None:
    without = [
        str(path.relative_to(ROOT))
        for folder in ('gossip', 'p2pcs_nova', 'devstack', 'tests')
        for path in (ROOT / folder).rglob('*.py')
        if not path.read_text().startswith(
            '# SPDX-License-Identifier: Apache-2.0\n'
        )
    ]
    assert without == []
