# SPDX-License-Identifier: Apache-2.0
"""No PC holds a credential of the cloud, or sees the control plane."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator, Mapping

import pytest

from devstack.lab import processes, services
from devstack.lab import settings as ports
from devstack.lab.layout import CONTROL_ADDRESS
from devstack.lab.machines import Machine
from tests.support import lab as support
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.servers import Bench

pytestmark = pytest.mark.lab

SEARCHED = ('etc', 'run', 'tmp', 'var/lib', 'var/log')
CHUNK = 8 * 2**20
OVERLAP = 4096


@pytest.fixture(scope='module')
def secrets(lab: Lab) -> Mapping[str, bytes]:
    """Everything that no PC may ever hold, by what it is."""
    words: dict[str, str] = json.loads(lab.layout.passwords.read_text())
    found = {f'password {who}': word.encode() for who, word in words.items()}
    found['database address'] = b'mysql+pymysql://'
    found['queue address'] = b'rabbit://'
    for who, cloud in (('demo', lab.demo), ('admin', lab.admin)):
        found[f'token of {who}'] = str(cloud.auth_token).encode()
    found['key of demo'] = _body(lab.layout.key.read_text())
    fernet = lab.layout.control / 'data' / 'keystone' / 'fernet-keys'
    for path in fernet.iterdir():
        found[f'fernet key {path.name}'] = path.read_bytes().strip()
    state = lab.control.path(pcs.STATE_DIR)
    for path in (
        lab.layout.control / 'ca' / 'root.key',
        state / 'issuer' / 'key.pem',
        state / 'identity' / 'key.pem',
    ):
        found[f'key {path.parent.name}/{path.name}'] = _body(path.read_text())
    assert min(map(len, found.values())) >= 8
    return found


def _body(pem: str) -> bytes:
    """The first line of a key's body."""
    lines = [line for line in pem.splitlines() if line]
    return lines[1 if lines[0].startswith('-----') else 0].encode()


@pytest.fixture(scope='module', autouse=True)
def some_server(module_bench: Bench) -> None:
    """Something on a PC, which may bring more than it should."""
    module_bench.wait(module_bench.create('searched'))


def pieces_of_files(pc: Machine) -> Iterator[tuple[str, bytes]]:
    """All regular files of a PC's own folders, piece by piece.

    The project's clone is not a PC's own, wherever it lies.
    """
    project = str(pc.path(str(support.ROOT)))
    for top in SEARCHED:
        for folder, inner, names in os.walk(pc.path(f'/{top}')):
            inner[:] = [n for n in inner if f'{folder}/{n}' != project]
            for name in names:
                path = pathlib.Path(folder, name)
                if path.is_symlink() or not path.is_file():
                    continue
                with path.open('rb') as stream:
                    while piece := stream.read(CHUNK):
                        yield str(path), piece
                        if len(piece) == CHUNK:
                            stream.seek(-OVERLAP, os.SEEK_CUR)


def pieces_of_processes(pc: Machine) -> Iterator[tuple[str, bytes]]:
    """Environment and command line of everything that runs on a PC."""
    for process in processes.members(pc.init):
        for what in ('environ', 'cmdline'):
            path = processes.PROC / str(process.pid) / what
            try:
                yield str(path), path.read_bytes()
            except OSError:
                continue


def pieces_of_memory(pid: int) -> Iterator[tuple[str, bytes]]:
    """What a process may write in its memory."""
    maps = (processes.PROC / str(pid) / 'maps').read_text().splitlines()
    with (processes.PROC / str(pid) / 'mem').open('rb', buffering=0) as memory:
        for line in maps:
            span, mode, *_ = line.split()
            if not mode.startswith('rw') or '[v' in line:
                continue
            first, _, last = span.partition('-')
            memory.seek(int(first, 16))
            try:
                yield line, memory.read(int(last, 16) - int(first, 16))
            except OSError:
                continue


def search(
    pieces: Iterator[tuple[str, bytes]], secrets: Mapping[str, bytes]
) -> list[str]:
    """What was found where."""
    return [
        f'{name} in {where}'
        for where, piece in pieces
        for name, secret in secrets.items()
        if secret in piece
    ]


def test_the_search_finds_what_is_there(
    lab: Lab, secrets: Mapping[str, bytes]
) -> None:
    """In the control plane, where everything is."""
    found = search(pieces_of_files(lab.control), secrets)
    assert any('issuer/key.pem' in line for line in found)
    word = {'password nova': secrets['password nova']}
    compute = services.find(lab.control, 'nova-compute-gold')
    assert compute is not None
    (pid,) = compute.pids()
    assert search(pieces_of_memory(pid), word)


def test_files_of_a_pc_hold_no_secret(
    lab: Lab, secrets: Mapping[str, bytes]
) -> None:
    for pc in pcs.pcs(lab).values():
        assert search(pieces_of_files(pc), secrets) == []


def test_processes_of_a_pc_are_given_no_secret(
    lab: Lab, secrets: Mapping[str, bytes]
) -> None:
    for pc in pcs.pcs(lab).values():
        assert search(pieces_of_processes(pc), secrets) == []


def test_memory_of_the_daemon_holds_no_secret(
    lab: Lab, secrets: Mapping[str, bytes]
) -> None:
    for pc in pcs.pcs(lab).values():
        daemon = services.find(pc, pcs.DAEMON)
        assert daemon is not None
        (pid,) = daemon.pids()
        assert search(pieces_of_memory(pid), secrets) == []


def test_a_pc_sees_nothing_of_the_lab_and_the_control_plane(lab: Lab) -> None:

    for pc in pcs.pcs(lab).values():
        for hidden in (lab.layout.lab, lab.layout.cache):
            assert lab.inside(pc, 'ls', '-A', str(hidden)) == ''
        assert lab.inside(pc, 'sh', '-c', 'ls /etc/p2pcs') == 'p2pcs.conf\n'
        said = lab.inside(pc, 'ps', '-e', '-o', 'args')
        for program in ('nova', 'neutron', 'mariadbd', 'rabbit', 'keystone'):
            assert program not in said


def test_a_pc_reaches_the_apis_and_no_database_or_queue(lab: Lab) -> None:
    pc = lab.pc(1)
    for port, open_ in (
        (ports.KEYSTONE_PORT, True),
        (ports.MARIADB_PORT, False),
        (ports.RABBIT_PORT, False),
    ):
        command = (
            'import socket, sys; '
            's = socket.socket(); s.settimeout(10); '
            f'print(s.connect_ex(("{CONTROL_ADDRESS}", {port})))'
        )
        code = int(lab.inside(pc, '/usr/bin/python3', '-c', command))
        assert (code == 0) == open_, (port, os.strerror(code))


def test_configuration_of_a_pc_names_no_other_machine(lab: Lab) -> None:
    for pc in pcs.pcs(lab).values():
        text = pc.path('/etc/p2pcs/p2pcs.conf').read_text()
        assert CONTROL_ADDRESS not in text
        assert '198.18.1.' not in text


def test_no_file_of_the_control_plane_lists_the_pcs(lab: Lab) -> None:
    for folder in (
        lab.control.path('/etc/p2pcs'),
        lab.layout.control / 'etc',
    ):
        for path in folder.rglob('*'):
            if path.is_file():
                assert b'198.18.1.' not in path.read_bytes(), path
