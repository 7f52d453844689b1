# SPDX-License-Identifier: Apache-2.0
"""The office LAN: a bridge in the switch, and one cable per machine.

Everything here may be repeated: what lies there is left, what is missing
or was pulled is put right.
"""

from __future__ import annotations

import os
import pathlib
import subprocess

from devstack.lab import layout as places
from devstack.lab.errors import LabError
from devstack.lab.machines import Machine
from devstack.lab.shell import run
from devstack.lab.waiting import wait_until

BRIDGE = 'lan'
PC_BRIDGE = 'br0'
NIC = 'eth0'
BRIDGE_OPTIONS = 'type bridge stp_state 0 forward_delay 0 mcast_snooping 0'
IP_TIMEOUT_S = 20.0
PREFIX = places.LAN.prefixlen


def parse_interfaces(table: str) -> set[str]:
    """The names of the interfaces in a ``/proc/PID/net/dev`` table."""
    lines = table.splitlines()[2:]
    return {line.partition(':')[0].strip() for line in lines}


def interfaces(pid: int) -> set[str]:
    """The interfaces of a process's network namespace."""
    table = pathlib.Path(f'/proc/{pid}/net/dev').read_text()
    return parse_interfaces(table)


def ip(machine: Machine | None, commands: list[str]) -> None:
    """Carry out commands of ip(8), all or up to the first that fails.

    :param machine: None is the ordinary network namespace
    """
    argv = ['ip', '-batch', '-']
    if machine is not None:
        argv = machine.enter(*argv, only_network=True)
    try:
        run(argv, stdin='\n'.join(commands) + '\n', timeout_s=IP_TIMEOUT_S)
    except LabError as error:
        raise LabError(f'{"; ".join(commands)}: {error}') from error


def bring_up_switch(switch: Machine) -> None:
    """Make the bridge that is the office LAN."""
    ip(
        switch,
        [
            *_bridge(switch, BRIDGE),
            'link set lo up',
            f'link set {BRIDGE} addrgenmode none up',
        ],
    )


def _bridge(machine: Machine, name: str) -> list[str]:
    """What makes a machine's bridge, unless it has it."""
    if name in interfaces(machine.init):
        return []
    return [f'link add {name} {BRIDGE_OPTIONS}']


def plug_in(switch: Machine, port: str, pid: int, nic: str) -> None:
    """Have a cable from the switch to the namespace of a process."""
    if not (nic in interfaces(pid) and port in interfaces(switch.init)):
        remove_port(switch, port)
        ip(
            switch,
            [f'link add {port} type veth peer name {nic} netns {pid}'],
        )
    ip(switch, [f'link set {port} addrgenmode none master {BRIDGE} up'])


def remove_port(switch: Machine, port: str) -> None:
    """Take a cable away, if there is one."""
    subprocess.run(
        switch.enter('ip', 'link', 'del', port, only_network=True),
        stderr=subprocess.DEVNULL,
        timeout=IP_TIMEOUT_S,
    )


def connect_host(switch: Machine) -> None:
    """Give the ordinary shell an address on the LAN."""
    cable = places.HOST_CABLE
    plug_in(switch, 'host', os.getpid(), cable)
    ip(
        None,
        [
            f'addr replace {places.HOST_ADDRESS}/{PREFIX} dev {cable}',
            f'link set {cable} addrgenmode none up',
        ],
    )


def connect_control(switch: Machine, control: Machine) -> None:
    """Give the control plane its address on the LAN."""
    plug_in(switch, control.name, control.init, NIC)
    ip(
        control,
        [
            'link set lo up',
            f'addr replace {places.CONTROL_ADDRESS}/{PREFIX} dev {NIC}',
            f'link set {NIC} up',
        ],
    )


def connect_pc(switch: Machine, pc: Machine, number: int) -> None:
    """Give a PC its network card, with its owner's bridge on top."""
    plug_in(switch, pc.name, pc.init, NIC)
    mac = places.pc_mac(number)
    address = places.pc_address(number)
    ip(
        pc,
        [
            'link set lo up',
            *_bridge(pc, PC_BRIDGE),
            f'link set {PC_BRIDGE} address {mac}',
            f'link set {NIC} address {mac} master {PC_BRIDGE} up',
            f'addr replace {address}/{PREFIX} dev {PC_BRIDGE}',
            f'link set {PC_BRIDGE} up',
        ],
    )


def set_link(switch: Machine, port: str, *, up: bool) -> None:
    """Pull the plug of a cable, or put it back."""
    ip(switch, [f'link set {port} {"up" if up else "down"}'])


def disconnect_host() -> None:
    """Take the ordinary shell's cable away and wait until it is gone."""
    if places.HOST_CABLE in interfaces(os.getpid()):
        subprocess.run(
            ['ip', 'link', 'del', places.HOST_CABLE],
            stderr=subprocess.DEVNULL,
            timeout=IP_TIMEOUT_S,
        )
    wait_until(
        lambda: places.HOST_CABLE not in interfaces(os.getpid()),
        f'{places.HOST_CABLE}: gone',
        IP_TIMEOUT_S,
    )
