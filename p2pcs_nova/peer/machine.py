# SPDX-License-Identifier: Apache-2.0
"""What this PC is, as its kernel tells.

All functions block for a moment.  What cannot be told is left out.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator

from p2pcs_nova import wire

FLAGS = frozenset(
    (
        *('aes', 'amx_bf16', 'amx_int8', 'amx_tile', 'asimd', 'avx', 'avx2'),
        *('avx512_bf16', 'avx512_fp16', 'avx512_vnni', 'avx512bw'),
        *('avx512dq', 'avx512f', 'avx512vl', 'avx_vnni', 'bmi2', 'f16c'),
        *('fma', 'sgx', 'sha_ni', 'sse4_2', 'ssse3', 'svm', 'vaes', 'vmx'),
    )
)
"""Those that decide whether or how fast programs run: a processor has 150,
and a record must fit a datagram."""
VENDORS = {'0x10de': 'nvidia', '0x1002': 'amd', '0x8086': 'intel'}
DISPLAY = '0x03'
"""PCI's class of what shows pictures, or computes them."""
GPUS_MAX = 4


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the kernel tells."""

    proc: pathlib.Path = pathlib.Path('/proc')
    sys: pathlib.Path = pathlib.Path('/sys')


def look(state: pathlib.Path, places: Places) -> wire.Attributes:
    """All that is known of this PC.

    :param state: a folder on the disk that instances are on
    """
    found: dict[str, wire.Attribute] = {
        'arch': os.uname().machine,
        'cores': os.cpu_count() or 1,
        'memory_mb': _memory_mb(),
        'gpus': tuple(gpus(places.sys)),
    }
    disk = os.statvfs(state)
    found['disk_mb'] = disk.f_blocks * disk.f_frsize >> 20
    if flags := tuple(cpu_flags(_read(places.proc / 'cpuinfo'))):
        found['cpu_flags'] = flags
    if speed := max(nic_speeds(places.sys), default=0):
        found['network_mbps'] = speed
    return found


def _memory_mb() -> int:
    return (os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')) >> 20


def cpu_flags(cpuinfo: str) -> list[str]:
    """The flags of the first processor that are worth telling.

    :param cpuinfo: text of ``/proc/cpuinfo`` (proc(5))
    """
    for line in cpuinfo.splitlines():
        name, _, rest = line.partition(':')
        if name.strip() in {'flags', 'Features'}:
            return sorted(FLAGS & set(rest.split()))
    return []


def cpu_name(cpuinfo: str) -> str:
    """What the first processor calls itself; '' if it does not."""
    for line in cpuinfo.splitlines():
        name, _, rest = line.partition(':')
        if name.strip() == 'model name':
            return rest.strip()
    return ''


def gpus(sys: pathlib.Path) -> list[str]:
    """By vendor: a name, or for one that is not known its PCI number."""
    found = set()
    for device in _entries(sys / 'bus/pci/devices'):
        if _read(device / 'class').startswith(DISPLAY):
            vendor = _read(device / 'vendor').strip()
            found.add(VENDORS.get(vendor, vendor.removeprefix('0x')))
    return sorted(found)[:GPUS_MAX]


def nic_speeds(sys: pathlib.Path) -> Iterator[int]:
    """Mbit/s of each network card that is plugged in; not of a Wi-Fi."""
    for card in _entries(sys / 'class/net'):
        speed = _read(card / 'speed').strip()
        if (card / 'device').exists() and speed.isdecimal():
            yield int(speed)


def _entries(folder: pathlib.Path) -> Iterable[pathlib.Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return ()


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text(errors='replace')
    except OSError:
        return ''
