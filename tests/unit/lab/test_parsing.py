# SPDX-License-Identifier: Apache-2.0
"""What the lab reads out of the kernel's tables."""

from __future__ import annotations

import pathlib

from devstack.lab import boot, machines, network, processes
from devstack.lab.layout import Layout


def test_stat_of_a_process_with_an_odd_name() -> None:
    text = '42 (a) S (b) Z 7 42 42 0 -1\n'
    assert processes.parse_stat(text) == ('Z', 7)


def test_process_of_a_container_is_deeper_than_a_machine() -> None:
    status = 'Name:\tinit\nNSpid:\t{}\nSeccomp:\t0\n'
    assert processes.parse_depth(status.format('42')) == 0
    assert processes.parse_depth(status.format('42\t1')) == 1
    assert processes.parse_depth(status.format('42\t9\t1')) == 2


def test_listening_ports_are_found() -> None:
    table = (
        '  sl  local_address rem_address   st tx_queue rx_queue\n'
        '   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000\n'
        '   1: 0200C612:1388 0100C612:9C40 01 00000000:00000000\n'
    )
    assert processes.parse_listening(table) == {3306}


def test_interfaces_are_found() -> None:
    table = (
        'Inter-|   Receive\n face |bytes    packets\n    lo: 1 2\n  eth0:9 9\n'
    )
    assert network.parse_interfaces(table) == {'lo', 'eth0'}


def test_machine_is_known_by_the_command_line_of_its_init() -> None:
    argv = (
        machines.INTERPRETER, '-m', boot.MODULE, '/srv/.lab', 'pc2', '-',
    )  # fmt: skip
    found = machines.parse_init(processes.Process(7, 1, argv))
    assert found == machines.Machine('pc2', 7, pathlib.Path('/srv/.lab'))


def test_what_boots_a_machine_is_not_taken_for_it() -> None:
    argv = (
        'unshare', '--', machines.INTERPRETER, '-m', boot.MODULE,
        '/srv/.lab', 'pc2', '-',
    )  # fmt: skip
    assert machines.parse_init(processes.Process(7, 1, argv)) is None


def test_pcs_of_a_lab_are_those_that_have_a_disk(
    tmp_path: pathlib.Path,
) -> None:
    layout = Layout(tmp_path)
    assert layout.pcs() == []
    for name in ('control', 'pc1', 'pc12', '.pc3.new'):
        layout.disk(name).mkdir(parents=True)
    assert layout.pcs() == [1, 12]
