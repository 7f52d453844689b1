# SPDX-License-Identifier: Apache-2.0
"""What a PC is, read from what its kernel tells."""

from __future__ import annotations

import pathlib

import msgspec
import pytest

from gossip.descriptor import PAYLOAD_MAX
from p2pcs_nova import attributes, wire
from p2pcs_nova.daemon import overlay
from p2pcs_nova.peer import benchmark, machine
from tests.conftest import Figure

CPUINFO = """\
processor\t: 0
model name\t: Test CPU @ 2.00GHz
flags\t\t: fpu vmx sse4_2 avx2 mmx

processor\t: 1
flags\t\t: fpu svm
"""


def put(root: pathlib.Path, **files: str) -> pathlib.Path:
    for name, text in files.items():
        path = root / name.replace('__', '/')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def places(tmp_path: pathlib.Path) -> machine.Places:
    proc = put(tmp_path / 'proc', cpuinfo=CPUINFO)
    pci, net = 'bus__pci__devices__', 'class__net__'
    sys = put(
        tmp_path / 'sys',
        **{
            f'{pci}0000:00:02.0__class': '0x030000\n',
            f'{pci}0000:00:02.0__vendor': '0x8086\n',
            f'{pci}0000:01:00.0__class': '0x030200\n',
            f'{pci}0000:01:00.0__vendor': '0x10de\n',
            f'{pci}0000:02:00.0__class': '0x030000\n',
            f'{pci}0000:02:00.0__vendor': '0x1234\n',
            f'{pci}0000:03:00.0__class': '0x020000\n',
            f'{pci}0000:03:00.0__vendor': '0x10de\n',
            f'{net}eth0__speed': '1000\n',
            f'{net}eth0__device__vendor': '',
            f'{net}eth1__speed': '-1\n',
            f'{net}eth1__device__vendor': '',
            f'{net}veth7__speed': '10000\n',
            f'{net}wlan0__device__vendor': '',
        },
    )
    return machine.Places(proc, sys)


def test_machine_is_told_in_few_words(
    tmp_path: pathlib.Path, places: machine.Places
) -> None:
    found = machine.look(tmp_path, places)
    assert found['cpu_flags'] == ('avx2', 'sse4_2', 'vmx')
    assert found['gpus'] == ('1234', 'intel', 'nvidia')
    assert found['network_mbps'] == 1000
    assert machine.cpu_name(CPUINFO) == 'Test CPU @ 2.00GHz'


def test_what_the_kernel_does_not_tell_is_left_out(
    tmp_path: pathlib.Path,
) -> None:
    nowhere = tmp_path / 'nowhere'
    found = machine.look(tmp_path, machine.Places(nowhere, nowhere))
    assert not {'cpu_flags', 'network_mbps'} & set(found)
    assert found['gpus'] == ()


def test_this_machine_is_told_as_a_query_knows_it(
    tmp_path: pathlib.Path,
) -> None:
    found = machine.look(tmp_path, machine.Places())
    assert {'arch', 'cores', 'memory_mb', 'disk_mb'} <= set(found)
    for name, value in found.items():
        assert wire.kind_of(value) is attributes.KNOWN[name]
    assert all(found[name] for name in ('cores', 'memory_mb', 'disk_mb'))


def test_all_that_is_measured_leaves_room_for_an_owners_words() -> None:
    found: wire.Attributes = {
        'arch': 'x86_64',
        'cores': 256,
        'cpu_flags': tuple(machine.FLAGS),
        'cpu_score': 100,
        'disk_mb': 2**28,
        'gpus': ('ffff',) * machine.GPUS_MAX,
        'kvm': True,
        'memory_mb': 2**26,
        'network_mbps': 100000,
        'reliability': 0.97,
    }
    record = wire.AttributesRecord('n' * 64, found, '1.2.3.dev456')
    left = PAYLOAD_MAX - len(msgspec.msgpack.encode(record))
    assert left > 300
    assert overlay.with_room(record) == record
    words = {'site': 'r' * left, 'owner': 'chemistry'}
    long = msgspec.structs.replace(record, attributes={**found, **words})
    told = overlay.with_room(long)
    assert len(msgspec.msgpack.encode(told)) <= PAYLOAD_MAX
    assert set(found) | set(words) == set(told.attributes) | {'cpu_flags'}


def test_score_is_that_of_the_best_round() -> None:
    took = [0.1, 0.02, 0.3, 0.02, 0.1, 0.1, 0.1]
    times = [0.0]
    for seconds in took:
        times += [times[-1], times[-1] + seconds]
    clock = iter(times)
    assert benchmark.cpu_score(lambda: next(clock)) == round(0.5 / 0.02)


def test_slow_pc_is_not_measured_for_long() -> None:
    clock = iter([0.0, 0.0, 5.0])
    assert benchmark.cpu_score(lambda: next(clock)) == 0


def test_score_of_this_machine(figure: Figure) -> None:
    one, other = benchmark.cpu_score(), benchmark.cpu_score()
    assert one > 0
    figure('a core compresses 1 GiB', 1024 / one)
    figure('a core compresses 1 GiB, measured again', 1024 / max(other, 1))
