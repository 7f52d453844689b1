# SPDX-License-Identifier: Apache-2.0
"""Who may ask a PC for what, tried with the lab's real identities."""

from __future__ import annotations

import json
import pathlib
import socket
import ssl

import pytest

from devstack.lab.layout import CONTROL_ADDRESS, pc_address
from devstack.lab.machines import Machine
from p2pcs_nova import wire
from p2pcs_nova.identity import tls
from tests.support import lab as support
from tests.support import pcs
from tests.support.lab import Lab

pytestmark = pytest.mark.lab

PORT = 7400
COMMANDS = {
    'claim', 'release', 'build', 'action', 'tombstone', 'instances',
    'console', 'diagnostics',
}  # fmt: skip


def ask_as(
    lab: Lab,
    machine: Machine,
    venv: pathlib.Path,
    target: str,
    term: wire.Counter,
    *only: str,
) -> dict[str, str]:
    """What a PC answers to the identity of this machine."""
    row = pcs.peer_row(lab, target)
    assert row is not None
    answer = lab.inside(
        machine,
        'env', f'PYTHONPATH={support.ROOT}',
        str(venv / 'bin' / 'python'), '-m', 'tests.support.asking',
        row.peer, pc_address(pcs.number_of(target)), row.slice,
        str(term.era), str(term.n), *only,
    )  # fmt: skip
    codes: dict[str, str] = json.loads(answer)
    return codes


def current_term(lab: Lab, target: str) -> wire.Counter:
    """The term of the slice that a PC is in."""
    row = pcs.peer_row(lab, target)
    assert row is not None
    return pcs.slice_summary(lab, row.slice).term


def test_a_pc_may_command_no_other_pc(lab: Lab) -> None:
    term = current_term(lab, 'pc2')
    codes = ask_as(
        lab, lab.pc(1), lab.layout.peer_venv, 'pc2', wire.Counter(term.era, 99)
    )
    assert codes.pop('status') == ''
    assert codes == dict.fromkeys(COMMANDS, 'forbidden')
    # Nor has the high term that it named done harm.
    assert current_term(lab, 'pc2') == term


def test_a_stale_term_is_refused(lab: Lab) -> None:
    term = current_term(lab, 'pc2')
    before = wire.Counter(term.era, term.n - 1)
    venv = lab.layout.cloud_venv
    # The PC hears of the term first, if the gateway has just begun.
    codes = ask_as(lab, lab.control, venv, 'pc2', term, 'instances')
    assert codes == {'instances': ''}
    codes = ask_as(lab, lab.control, venv, 'pc2', before)
    assert codes.pop('status') == ''
    assert codes == dict.fromkeys(COMMANDS, 'stale-term')


@pytest.mark.parametrize('address', [CONTROL_ADDRESS, pc_address(1)])
def test_nobody_without_a_certificate_is_heard(lab: Lab, address: str) -> None:
    context = tls.unverified_client()
    with (
        socket.create_connection((address, PORT), timeout=20) as plain,
        context.wrap_socket(plain) as secure,
    ):
        secure.sendall(b'GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n')
        with pytest.raises(ssl.SSLError, match='CERTIFICATE_REQUIRED'):
            secure.recv(100)


def test_the_local_socket_is_not_for_every_user(lab: Lab) -> None:
    said = lab.inside(
        lab.pc(1),
        'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups',
        '/usr/bin/python3', '-c', ASK_LOCALLY,
    )  # fmt: skip
    assert '403' in said.splitlines()[0]


ASK_LOCALLY = """
import socket
s = socket.socket(socket.AF_UNIX)
s.connect('/run/p2pcs/p2pcs.sock')
s.sendall(b'GET /v1/status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
print(s.recv(1000).decode())
"""
