# SPDX-License-Identifier: Apache-2.0
"""The guest image in a real virtual machine."""

import dataclasses
import gzip
import json
import pathlib
import subprocess
import time
from collections.abc import Mapping

import pytest

from tests.conftest import Figure
from tests.support import machine

pytestmark = pytest.mark.libvirt

MAC = '52:54:00:00:00:0a'
SECOND_MAC = '52:54:00:00:00:02'


@dataclasses.dataclass(frozen=True)
class Bench:
    """One instance: its disk, its drive, its key, the port to reach it."""

    folder: pathlib.Path
    key: pathlib.Path
    port: int

    def devices(self, drive: str = '') -> list[str]:
        """QEMU's arguments: disk, one card, and a drive on a bus."""
        disk = f'file={self.folder}/disk,format=qcow2,if=none,id=d'
        forward = f'hostfwd=tcp:127.0.0.1:{self.port}-:22'
        devices = ['-drive', disk]
        devices += ['-device', 'virtio-blk-pci,drive=d,bootindex=1']
        devices += ['-netdev', f'user,id=n,{forward}']
        devices += ['-device', f'virtio-net-pci,netdev=n,mac={MAC}']
        devices += ['-device', 'virtio-rng-pci']
        if drive:
            drive_file = f'file={self.folder}/drive,format=raw,id=c'
            devices += ['-drive', f'{drive_file},if=none,readonly=on']
            devices += ['-device', f'{drive},drive=c']
        return devices

    def make_key(self) -> None:
        """Make a key pair, in the place of any before it."""
        self.key.unlink(missing_ok=True)
        subprocess.run(
            ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', self.key],
            check=True,
            timeout=30,
        )

    def write_drive(self, **files: bytes) -> None:
        machine.write_config_drive(
            self.folder / 'drive',
            {n.replace('_json', '.json'): c for n, c in files.items()},
        )

    def ssh(
        self, command: str, user: str = 'root', *options: str
    ) -> 'subprocess.CompletedProcess[str]':
        """Run one command in the guest."""
        settings = {
            'StrictHostKeyChecking': 'no',
            'UserKnownHostsFile': '/dev/null',
            'IdentitiesOnly': 'yes',
            'ConnectTimeout': '20',
            'LogLevel': 'ERROR',
        }
        args = [f'-o{name}={value}' for name, value in settings.items()]
        target = ['-i', str(self.key), '-p', str(self.port)]
        target += [f'{user}@127.0.0.1']
        return subprocess.run(
            ['ssh', '-F', 'none', *options, *args, *target, command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ask(self, command: str, user: str = 'root') -> str:
        """Ask until the server listens; the command's output."""
        deadline = time.monotonic() + 60
        while (done := self.ssh(command, user)).returncode == 255:
            assert time.monotonic() < deadline, done.stderr
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def bench(tmp_path: pathlib.Path, guest_image: pathlib.Path) -> Bench:
    machine.make_overlay(guest_image, tmp_path / 'disk')
    new_bench = Bench(tmp_path, tmp_path / 'key', machine.free_port())
    new_bench.make_key()
    return new_bench


def meta_data(bench: Bench, uuid: str = 'a', name: str = 'web-1') -> bytes:
    public = bench.key.with_suffix('.pub').read_text()
    document = {
        'uuid': f'00000000-0000-4000-8000-00000000000{uuid}',
        'name': name,
        'hostname': f'{name}.novalocal',
        'public_keys': {'my/key.1': public},
        'keys': [{'name': 'my/key.1', 'type': 'ssh', 'data': public}],
        'launch_index': 0,
    }
    return json.dumps(document).encode()


def network_data(*cards: tuple[str, Mapping[str, object]]) -> bytes:
    links = [
        {
            'id': f'tap{number}',
            'vif_id': 'v',
            'type': 'bridge',
            'mtu': 1400,
            'ethernet_mac_address': mac,
        }
        for number, (mac, _) in enumerate(cards)
    ]
    networks = [
        {'id': f'network{n}', 'link': f'tap{n}', 'network_id': 'n', **network}
        for n, (_, network) in enumerate(cards)
    ]
    services = [{'type': 'dns', 'address': '10.0.2.3'}]
    return json.dumps(
        {'links': links, 'networks': networks, 'services': services}
    ).encode()


def net4(address: str, gateway: str = '') -> Mapping[str, object]:
    default = {'network': '0.0.0.0', 'netmask': '0.0.0.0', 'gateway': gateway}
    return {
        'type': 'ipv4',
        'ip_address': address,
        'netmask': '255.255.255.0',
        'routes': [default] if gateway else [],
    }


def test_config_drive_keys_network_script_and_what_lasts(
    bench: Bench, figure: Figure
) -> None:
    script = b'#!/bin/sh\necho "script on $(hostname)"\necho x >>/data/runs\n'
    bench.write_drive(
        meta_data_json=meta_data(bench),
        network_data_json=network_data((MAC, net4('10.0.2.40', '10.0.2.2'))),
        user_data=script,
    )
    devices = bench.devices('ide-cd')
    forward = devices.index('-netdev') + 1
    devices[forward] = devices[forward].replace('-:22', '-10.0.2.40:22')

    with machine.Machine(bench.folder, devices, 128) as run:
        run.wait_console(
            r'guest: host web-1, addresses 10\.0\.2\.40/24, '
            'instance 00000000-0000-4000-8000-00000000000a'
        )
        run.wait_console('web-1 login:')
        figure('guest alone: login prompt', run.up_s())
        for user in ('root', 'debian'):
            assert bench.ask('id -un', user) == f'{user}\n'
        figure('guest alone: ssh for two users', run.up_s())
        assert 'mtu 1400' in bench.ask('ip link show eth0')
        assert 'default via 10.0.2.2 dev eth0' in bench.ask('ip route')
        assert bench.ask('cat /etc/resolv.conf') == 'nameserver 10.0.2.3\n'
        assert bench.ask('hostname') == 'web-1\n'
        refused = bench.ssh('true', 'root', '-oPubkeyAuthentication=no')
        assert refused.returncode == 255
        assert 'Permission denied (publickey)' in refused.stderr
        bench.ask('echo kept >/data/file', 'debian')

        # A reset in the midst of life: the journal keeps what was synced.
        bench.ask('while [ ! -e /data/runs ]; do usleep 10000; done; sync')
        run.clear_console()
        run.command('system_reset')
        run.wait_console('web-1 login:')
        assert bench.ask('cat /data/file /data/runs') == 'kept\nx\n'

        # A reboot from inside.
        run.clear_console()
        bench.ssh('reboot')
        run.wait_console('web-1 login:')
        first = bench.ask('cat /etc/dropbear/host_key | md5sum')
        begin = time.monotonic()
        run.command('system_powerdown')
        assert run.wait_off() == 0
        figure('guest alone: ACPI to off', time.monotonic() - begin)

    with machine.Machine(bench.folder, devices, 128) as run:
        run.wait_console('web-1 login:')
        assert bench.ask('cat /data/file /data/runs') == 'kept\nx\n'
        assert bench.ask('cat /etc/dropbear/host_key | md5sum') == first

        run.type('root\n')
        run.wait_console('root@web-1:~# ')
        run.type('poweroff\n')
        assert run.wait_off() == 0


def test_second_card_virtio_drive_and_data_that_is_no_script(
    bench: Bench,
) -> None:
    ipv6 = {
        'type': 'ipv6',
        'ip_address': 'fd00::7',
        'netmask': 'ffff:ffff:ffff:ffff::',
        'routes': [],
    }
    bench.write_drive(
        meta_data_json=meta_data(bench),
        # In the opposite order to the machine's cards.
        network_data_json=network_data(
            (SECOND_MAC, ipv6), (MAC, net4('10.0.2.15', '10.0.2.2'))
        ),
        user_data=gzip.compress(b'#!/bin/sh\necho no\n'),
    )
    devices = bench.devices('virtio-blk-pci')
    devices += ['-netdev', 'user,id=m,restrict=on']
    devices += ['-device', f'virtio-net-pci,netdev=m,mac={SECOND_MAC}']
    with machine.Machine(bench.folder, devices, 128) as run:
        run.wait_console('user data is gzip: not supported by this guest')
        run.wait_console('web-1 login:')
        shown = bench.ask('cat /sys/class/net/eth0/address; ip addr show eth0')
        assert shown.startswith(MAC)
        assert 'inet 10.0.2.15/24' in shown
        assert 'inet6 fd00::7/64' in bench.ask('ip addr show eth1')


def test_disk_of_one_instance_forgets_it_as_another(bench: Bench) -> None:
    network = network_data((MAC, net4('10.0.2.15', '10.0.2.2')))
    cloud_config = b'#cloud-config\nruncmd: [ls]\n'
    keys = []
    for uuid, name in (('a', 'first'), ('b', 'second')):
        bench.write_drive(
            meta_data_json=meta_data(bench, uuid, name),
            network_data_json=network,
            user_data=cloud_config,
        )
        devices = bench.devices('virtio-blk-pci')
        with machine.Machine(bench.folder, devices, 128) as run:
            run.wait_console('user data without #!: not supported')
            shown = run.wait_console(
                r'guest: ssh host key (ssh-ed25519 \S+)\s'
            )
            keys.append(shown[1])
            bench.ask(f'echo {name} >>/data/names')
            known = bench.ask('cat /root/.ssh/authorized_keys')
            assert known == bench.key.with_suffix('.pub').read_text()
            if name == 'second':
                assert bench.ask('cat /data/names') == 'first\nsecond\n'
            bench.make_key()
            run.command('system_powerdown')
            assert run.wait_off() == 0
    assert keys[0] != keys[1]


def test_without_a_config_drive_it_asks_by_dhcp(bench: Bench) -> None:
    with machine.Machine(bench.folder, bench.devices(), 128) as run:
        run.wait_console('guest: no config drive: asking by DHCP')
        run.wait_console('guest: address 10.0.2.15/24 by DHCP')
        run.wait_console('guest login:')
