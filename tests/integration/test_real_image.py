# SPDX-License-Identifier: Apache-2.0
"""Debian 12 with cloud-init and systemd, as users of a cloud boot it."""

from __future__ import annotations

import base64
import functools
import json
import time
from collections.abc import Iterator

import pytest

from devstack.guest import debian
from devstack.lab import machines, packages
from devstack.lab.errors import LabError
from devstack.lab.layout import DNS_ADDRESS, LAN
from devstack.lab.shell import run_logged, tail
from tests.conftest import Figure
from tests.support.lab import Lab
from tests.support.servers import Bench, Server
from tests.support.waiting import until

pytestmark = [pytest.mark.lab, pytest.mark.slow]

IMAGE = 'debian-12'
NAME = 'real-debian'
FLAVOR = 'm1.medium'
DISK_GB = 2
BUILD_S = 1800.0
UPLOAD_S = 300.0
BOOT_S = 600.0
USER_DATA = """\
#cloud-config
write_files:
  - path: /root/said
    content: |
      written by cloud-init
runcmd:
  - [sh, -c, 'echo "run on $(hostname)" >>/root/said']
"""


@pytest.fixture(scope='module')
def image(lab: Lab, figure: Figure) -> Iterator[str]:
    """The image in Glance, for as long as these tests run; its name."""
    packages.fetch_lists(lab.layout)
    output = lab.layout.cache / 'debian'
    begin = time.monotonic()
    run_logged(
        [
            machines.INTERPRETER, '-m', 'devstack.guest.debian',
            '--output', str(output),
        ],
        lab.layout.cache / 'lab' / 'debian.log',
        timeout_s=BUILD_S,
        cwd=lab.layout.root,
    )  # fmt: skip
    figure('real image: built or found', time.monotonic() - begin)
    lab.openstack(
        'image', 'create', '--disk-format', 'qcow2',
        '--container-format', 'bare',
        '--file', str(output / debian.IMAGE), IMAGE,
        timeout_s=UPLOAD_S,
    )  # fmt: skip
    try:
        yield IMAGE
    finally:
        lab.openstack('image', 'delete', IMAGE)


@pytest.fixture(scope='module')
def server(
    lab: Lab, image: str, module_bench: Bench, figure: Figure
) -> Server:
    """A server of that image that one can log in to."""
    begin = time.monotonic()
    found = module_bench.get(
        module_bench.create(
            NAME,
            FLAVOR,
            image=image,
            user_data=base64.b64encode(USER_DATA.encode()).decode(),
        )
    )
    figure('real image: ACTIVE', time.monotonic() - begin)
    try:
        until(lambda: can_log_in(lab, found), BOOT_S, 1.0)
    except AssertionError as error:
        answer = lab.demo.compute.get_server_console_output(found.id)
        raise AssertionError(
            f'no login: {error}\n{tail(answer["output"], 40)}'
        ) from None
    figure('real image: login', time.monotonic() - begin)
    return found


def ask(lab: Lab, server: Server, *command: str) -> str:
    """What a command says in it."""
    return lab.ssh(server.address, *command, user=debian.USER, timeout_s=120)


def can_log_in(lab: Lab, server: Server) -> bool:
    """Whether the key of the demo user lets one in."""
    try:
        return ask(lab, server, 'id', '-un') == f'{debian.USER}\n'
    except LabError:
        return False


def test_debian_has_its_address_and_name_server(
    lab: Lab, server: Server
) -> None:
    links = ask(lab, server, 'ip', '-j', '-4', 'address', 'show', 'up')
    (link,) = (row for row in json.loads(links) if row['ifname'] != 'lo')
    (address,) = link['addr_info']
    assert address['local'] == server.address
    assert address['prefixlen'] == LAN.prefixlen
    assert 'dynamic' not in address
    resolver = ask(lab, server, 'resolvectl', 'dns', link['ifname'])
    assert resolver.split()[-1] == DNS_ADDRESS


def test_debian_has_its_name_and_the_whole_disk(
    lab: Lab, server: Server
) -> None:
    assert ask(lab, server, 'hostname') == f'{NAME}\n'
    size = int(ask(lab, server, 'df', '-B1', '--output=size', '/').split()[1])
    assert size > 0.9 * DISK_GB * 2**30


def test_cloud_init_has_done_all_of_its_work(lab: Lab, server: Server) -> None:
    done = functools.partial(ask, lab, server, 'cloud-init', 'status')
    until(lambda: 'running' not in done(), BOOT_S, 1.0)
    assert done() == 'status: done\n'
    said = ask(lab, server, 'sudo', 'cat', '/root/said')
    assert said == f'written by cloud-init\nrun on {NAME}\n'
    failed = ask(lab, server, 'systemctl', '--failed', '--no-legend')
    assert failed == ''
