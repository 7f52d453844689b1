# SPDX-License-Identifier: Apache-2.0
"""What a PC has in memory for nothing."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize('package', ['rich', 'pygments', 'click'])
def test_daemon_does_not_load_the_command_line_of_its_http_client(
    package: str,
) -> None:
    program = (
        'import sys, p2pcs_nova.daemon.cli, p2pcs_nova.daemon.main, httpx\n'
        f'sys.exit({package!r} in sys.modules)'
    )
    subprocess.run([sys.executable, '-c', program], check=True, timeout=60)
