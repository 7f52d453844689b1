# SPDX-License-Identifier: Apache-2.0
"""What a figure depends on, printed beside it."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
import statistics
import subprocess
from collections.abc import Sequence

from devstack.lab.layout import Layout

ROOT = pathlib.Path(__file__).resolve().parents[2]
OF_INTEREST = ('nova', 'neutron', 'trio', 'p2pcs-nova')
PROGRAMS = ('libvirtd', 'qemu-system-x86_64')
COMMAND_TIMEOUT_S = 20.0


def lab_layout() -> Layout:
    """Where the lab of this project is."""
    return Layout(ROOT)


def describe() -> str:
    """Machine, load and versions, in a few lines."""
    packages = ', '.join(
        f'{name} {importlib.metadata.version(name)}' for name in OF_INTEREST
    )
    loads = ' '.join(f'{load:.2f}' for load in os.getloadavg())
    machine = (
        f'{os.cpu_count()} cores ({_processor()}), '
        f'{_memory_gb():.0f} GB, Linux {platform.release()}'
    )
    lines = [
        machine,
        f'load average {loads}',
        f'Python {platform.python_version()}, {packages}',
        *map(_version, PROGRAMS),
    ]
    return '\n'.join(f'  {line}' for line in lines)


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """The median, and how far the values lie apart."""
    return (
        f'{statistics.median(values):.{digits}f} {unit} '
        f'({min(values):.{digits}f} to {max(values):.{digits}f})'
    )


def _processor() -> str:
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
        name, _, value = line.partition(':')
        if name.strip() == 'model name':
            return value.strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9


def _version(program: str) -> str:
    said = subprocess.run(
        [program, '--version'],
        capture_output=True,
        check=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
    )
    return said.stdout.splitlines()[0]
