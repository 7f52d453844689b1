# SPDX-License-Identifier: Apache-2.0
"""What the tests of real daemons share."""

from __future__ import annotations

import pytest

from p2pcs_nova.manage import cli
from tests.support.daemons import Manage, Office


@pytest.fixture
def manage(office: Office, capsys: pytest.CaptureFixture[str]) -> Manage:
    """What p2pcs-manage says on the gateway, or why it refuses."""
    socket = str(office.gateway.folder / 'sock')

    def run(*arguments: str) -> str:
        capsys.readouterr()
        code = cli.main(['--socket', socket, *arguments])
        told = capsys.readouterr()
        assert bool(code) == bool(told.err), told
        return told.err or told.out

    return run
