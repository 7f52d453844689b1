# SPDX-License-Identifier: Apache-2.0
"""What the daemon of a PC costs its owner while nothing happens.

Every PC of the lab that is on is watched at the same time.  Goal: at most
60 MB of memory (PSS) and 0.1 s of processor time a minute.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import re
import time

from devstack.lab import services
from devstack.lab.machines import Machine
from tests.benchmarks import conditions
from tests.support import lab as support
from tests.support import pcs

WARM_S = 60.0
WATCH_S = 120.0
GOAL_PSS_MB = 60
GOAL_CPU_S = 0.1
SCHEDULED = 2
"""Kernel's number for a process's clock that counts nanoseconds."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """What the kernel has counted of a daemon up to now.

    :param switches: the times a thread has gone to sleep, by thread
    :param datagrams: UDP, both directions
    :param octets: all IP, both directions
    """

    cpu_s: float
    switches: dict[str, int]
    datagrams: int
    octets: int


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes; PSS shares what several processes map among them."""

    pss: int
    rss: int
    anonymous: int


def parse_memory(rollup: str) -> Memory:
    """Out of ``/proc/PID/smaps_rollup``."""

    def value(name: str) -> int:
        found = re.search(rf'^{name}:\s+(\d+) kB$', rollup, re.MULTILINE)
        assert found is not None, name
        return int(found[1]) * 1024

    return Memory(value('Pss'), value('Rss'), value('Anonymous'))


def parse_counters(table: str, group: str) -> dict[str, int]:
    """One group out of ``/proc/PID/net/snmp`` or ``netstat``.

    Each group is a line of names and a line of values.
    """
    names, values = (
        line.split()[1:]
        for line in table.splitlines()
        if line.startswith(f'{group}:')
    )
    return dict(zip(names, map(int, values), strict=True))


def read(pid: int) -> Reading:
    """Read the kernel's counts of a process and of its namespace."""
    proc = pathlib.Path(f'/proc/{pid}')
    udp = parse_counters((proc / 'net' / 'snmp').read_text(), 'Udp')
    ip = parse_counters((proc / 'net' / 'netstat').read_text(), 'IpExt')
    return Reading(
        time.clock_gettime(~pid << 3 | SCHEDULED),
        dict(_sleeps(task) for task in (proc / 'task').iterdir()),
        udp['InDatagrams'] + udp['OutDatagrams'],
        ip['InOctets'] + ip['OutOctets'],
    )


def _sleeps(task: pathlib.Path) -> tuple[str, int]:
    status = (task / 'status').read_text()
    found = re.search(r'^voluntary_ctxt_switches:\s+(\d+)$', status, re.M)
    assert found is not None
    return task.name, int(found[1])


def age_s(pid: int) -> float:
    """How long a process has been running."""
    stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    ticks = int(stat[stat.rindex(')') + 2 :].split()[19])
    born = ticks / os.sysconf('SC_CLK_TCK')
    return time.clock_gettime(time.CLOCK_BOOTTIME) - born


def describe(
    pc: Machine, pid: int, before: Reading, after: Reading, seconds: float
) -> str:
    """A line for a PC."""
    memory = parse_memory(
        pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text()
    )
    wakes = sum(
        count - before.switches[thread]
        for thread, count in after.switches.items()
        if thread in before.switches
    )
    instances = len(pcs.status(pc).instances)
    return (
        f'  {pc.name}: PSS {memory.pss / 1e6:.1f} MB '
        f'(anonymous {memory.anonymous / 1e6:.1f}, '
        f'RSS {memory.rss / 1e6:.1f}), '
        f'{(after.cpu_s - before.cpu_s) * 60 / seconds:.3f} s a minute, '
        f'{wakes / seconds:.1f} wake-ups/s, '
        f'{(after.datagrams - before.datagrams) / seconds:.1f} datagrams/s, '
        f'{(after.octets - before.octets) / seconds:.0f} bytes/s of IP, '
        f'{instances} instances'
    )


def main() -> None:
    """Watch, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=WATCH_S)
    wanted: float = parser.parse_args().seconds
    lab = support.attach(conditions.lab_layout())
    watched = []
    for pc in pcs.pcs(lab).values():
        running = services.find(pc, pcs.DAEMON)
        if running is not None:
            (pid,) = running.pids()
            watched.append((pc, pid))
    time.sleep(max(0.0, WARM_S - min(age_s(pid) for _, pid in watched)))
    begin = time.monotonic()
    before = [read(pid) for _, pid in watched]
    time.sleep(wanted)
    after = [read(pid) for _, pid in watched]
    seconds = time.monotonic() - begin
    print(f'Daemons of {len(watched)} PCs at rest, for {seconds:.0f} s')
    print(conditions.describe())
    for (pc, pid), first, last in zip(watched, before, after, strict=True):
        print(describe(pc, pid, first, last, seconds))
    print(f'  goal: {GOAL_PSS_MB} MB, {GOAL_CPU_S} s a minute')


if __name__ == '__main__':
    main()
