# SPDX-License-Identifier: Apache-2.0
"""The life of one server, as demo lives it on the stock command line.

The tests share a server and run in the file's order; each leaves it
ACTIVE for the next, the last one deletes it.
"""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from devstack.lab.layout import DNS_ADDRESS
from devstack.lab.names import IMAGE, KEY_NAME, NETWORK
from tests.conftest import Figure
from tests.support import pcs
from tests.support.lab import Lab
from tests.support.servers import Bench, Server, wait_for_login
from tests.support.waiting import until

pytestmark = pytest.mark.lab

NAME = 'life'
CREATE_TIMEOUT_S = 240.0
USER_DATA = '#!/bin/sh\necho "I ran on $(hostname)" >/root/user-data\n'
SAVED = '/root/saved'
WORDS = 'kept by the disk'


@pytest.fixture(scope='module')
def server(
    lab: Lab,
    module_bench: Bench,
    figure: Figure,
    tmp_path_factory: pytest.TempPathFactory,
) -> Server:
    """A server as the README says it, with user data."""
    user_data = tmp_path_factory.mktemp('life') / 'user-data'
    user_data.write_text(USER_DATA)
    begin = time.monotonic()
    answer = lab.openstack(
        'server', 'create', '--wait', '-f', 'json',
        '--flavor', 'm1.tiny', '--image', IMAGE, '--network', NETWORK,
        '--key-name', KEY_NAME, '--user-data', str(user_data),
        '--config-drive', 'true', '--property', 'answer=42', NAME,
        timeout_s=CREATE_TIMEOUT_S,
    )  # fmt: skip
    figure('life: server create --wait to ACTIVE', time.monotonic() - begin)
    server_id = json.loads(answer)['id']
    module_bench.adopt(server_id)
    found = module_bench.get(server_id)
    wait_for_login(lab, found)
    figure('life: server create to login', time.monotonic() - begin)
    return found


def boot_id(lab: Lab, server: Server) -> str:
    """Which boot of the guest this is."""
    path = '/proc/sys/kernel/random/boot_id'
    return lab.ssh(server.address, 'cat', path).strip()


def status(lab: Lab) -> str:
    """The server's status on the command line."""
    return lab.openstack(
        'server', 'show', '-f', 'value', '-c', 'status', NAME
    ).strip()


def test_console_shows_host_name_and_login_prompt(
    lab: Lab, server: Server
) -> None:
    def prompted() -> bool:
        said = lab.openstack('console', 'log', 'show', NAME)
        return f'{NAME} login:' in said

    assert status(lab) == 'ACTIVE'
    until(prompted)


def test_lines_of_the_console_are_the_last_ones(
    lab: Lab, server: Server
) -> None:
    said = lab.openstack('console', 'log', 'show', '--lines', '3', NAME)
    assert 0 < len(said.splitlines()) <= 4


def test_ping_and_ssh_answer_from_the_office_lan(
    lab: Lab, server: Server
) -> None:
    subprocess.run(
        ['ping', '-c', '1', '-W', '10', server.address],
        check=True,
        capture_output=True,
        timeout=30,
    )
    assert lab.ssh(server.address, 'id', '-u') == '0\n'


def test_config_drive_brings_name_addresses_key_and_user_data(
    lab: Lab, server: Server
) -> None:
    at = '/run/config/openstack/latest'
    meta = json.loads(lab.ssh(server.address, 'cat', f'{at}/meta_data.json'))
    assert meta['uuid'] == server.id
    assert meta['name'] == NAME
    assert meta['meta'] == {'answer': '42'}
    public = lab.layout.key.with_suffix('.pub').read_text().strip()
    assert meta['public_keys'][KEY_NAME].strip() == public
    net = json.loads(lab.ssh(server.address, 'cat', f'{at}/network_data.json'))
    assert net['links'][0]['ethernet_mac_address'] == server.mac
    assert net['networks'][0]['ip_address'] == server.address
    resolver = lab.ssh(server.address, 'cat', '/etc/resolv.conf')
    assert resolver == f'nameserver {DNS_ADDRESS}\n'
    said = lab.ssh(server.address, 'cat', '/root/user-data')
    assert said == f'I ran on {NAME}\n'


def test_domain_is_marked_as_ours_and_has_the_flavor(
    lab: Lab, server: Server
) -> None:
    pc = pcs.pcs(lab)[pcs.where(lab, server.id)]
    domain = pcs.domain_xml(lab, pc, server.id)
    assert domain.findtext('vcpu') == '1'
    assert domain.findtext('memory') == str(128 * 1024)
    assert domain.find('metadata/*') is not None
    assert len(domain.findall('devices/interface')) == 1


@pytest.mark.parametrize('kind', ['soft', 'hard'])
def test_reboot_keeps_the_disk(
    lab: Lab, server: Server, figure: Figure, kind: str
) -> None:
    before = boot_id(lab, server)
    lab.ssh(server.address, f'echo {WORDS} >{SAVED}; sync')
    begin = time.monotonic()
    lab.openstack(
        'server', 'reboot', f'--{kind}', '--wait', NAME,
        timeout_s=CREATE_TIMEOUT_S,
    )  # fmt: skip
    wait_for_login(lab, server)
    until(lambda: boot_id(lab, server) != before)
    figure(f'life: reboot --{kind} to login', time.monotonic() - begin)
    assert status(lab) == 'ACTIVE'
    assert lab.ssh(server.address, 'cat', SAVED) == f'{WORDS}\n'


def test_stop_is_told_to_the_guest_and_start_boots_it_again(
    lab: Lab, server: Server, module_bench: Bench, figure: Figure
) -> None:
    before = boot_id(lab, server)
    pc = pcs.pcs(lab)[pcs.where(lab, server.id)]
    # What is not synced survives only a shutdown that the guest does.
    lab.ssh(server.address, f'echo {WORDS}, all of it >{SAVED}')
    begin = time.monotonic()
    lab.openstack('server', 'stop', NAME)
    module_bench.wait(server.id, 'SHUTOFF')
    figure('life: stop', time.monotonic() - begin)
    assert pcs.domain_state(lab, pc, server.id) == 'shut off'
    begin = time.monotonic()
    lab.openstack('server', 'start', NAME)
    module_bench.wait(server.id)
    wait_for_login(lab, server)
    figure('life: start to login', time.monotonic() - begin)
    assert boot_id(lab, server) != before
    assert lab.ssh(server.address, 'cat', SAVED) == f'{WORDS}, all of it\n'


def test_pause_freezes_the_guest_and_unpause_lets_it_go_on(
    lab: Lab, server: Server, module_bench: Bench
) -> None:
    before = boot_id(lab, server)
    pc = pcs.pcs(lab)[pcs.where(lab, server.id)]
    lab.openstack('server', 'pause', NAME)
    module_bench.wait(server.id, 'PAUSED')
    assert pcs.domain_state(lab, pc, server.id) == 'paused'
    lab.openstack('server', 'unpause', NAME)
    module_bench.wait(server.id)
    assert pcs.domain_state(lab, pc, server.id) == 'running'
    assert boot_id(lab, server) == before


def test_diagnostics_count_what_the_guest_does(
    lab: Lab, server: Server
) -> None:
    answer = lab.admin.compute.get(
        f'/servers/{server.id}/diagnostics', microversion='2.48'
    ).json()
    assert answer['state'] == 'running'
    assert answer['driver'] == 'libvirt'
    assert answer['num_cpus'] == 1
    assert answer['cpu_details'][0]['time'] > 0
    assert answer['memory_details']['maximum'] == 128
    assert answer['nic_details'][0]['mac_address'] == server.mac
    assert answer['nic_details'][0]['rx_packets'] > 0
    assert answer['disk_details'][0]['read_bytes'] > 0
    assert answer['config_drive']


def test_nova_shows_the_slice_and_the_gateway_the_pc(
    lab: Lab, server: Server
) -> None:
    row = pcs.placed(lab, server.id)
    assert row is not None
    assert row.reachable
    seen = lab.admin.compute.get_server(server.id)
    assert seen.hypervisor_hostname == row.status.slice
    assert row.peer_name in pcs.pcs_of_slice(lab, row.status.slice)


def test_resize_and_rescue_are_refused_and_the_server_runs_on(
    lab: Lab, server: Server, module_bench: Bench
) -> None:
    before = boot_id(lab, server)
    larger = lab.demo.compute.find_flavor('m1.small', ignore_missing=False)
    for action in ({'resize': {'flavorRef': larger.id}}, {'rescue': None}):
        answer = lab.demo.compute.post(
            f'/servers/{server.id}/action', json=action
        )
        assert answer.status_code == 403, action
    assert module_bench.wait(server.id).flavor.name == 'm1.tiny'
    assert boot_id(lab, server) == before


def test_rebuild_gives_a_new_disk_and_keeps_the_address(
    lab: Lab, server: Server, module_bench: Bench
) -> None:
    image = lab.demo.image.find_image(IMAGE, ignore_missing=False).id
    lab.ssh(server.address, 'test', '-e', SAVED)
    lab.demo.compute.rebuild_server(server.id, image, name=NAME)
    module_bench.wait(server.id)
    wait_for_login(lab, server)
    assert module_bench.get(server.id) == server
    lab.ssh(server.address, '!', 'test', '-e', SAVED)


def test_rebuild_of_a_server_that_has_only_just_started(
    lab: Lab, module_bench: Bench
) -> None:
    young = module_bench.create('young')
    module_bench.wait(young)
    address = module_bench.get(young).address

    lab.openstack(
        *('server', 'rebuild', '--wait', '--image', IMAGE, young),
        timeout_s=240.0,
    )

    again = module_bench.get(young)
    assert again.address == address
    wait_for_login(lab, again)


def test_delete_leaves_nothing(
    lab: Lab, server: Server, figure: Figure
) -> None:
    found = pcs.traces(lab, server)
    kinds = {line.partition(': ')[2] for line in found}
    assert kinds >= {'domain', 'folder', 'tap', 'filter', 'instance'}
    begin = time.monotonic()
    lab.openstack('server', 'delete', '--wait', NAME, timeout_s=120.0)
    figure('life: delete --wait', time.monotonic() - begin)
    assert pcs.traces(lab, server) == []
    assert pcs.placed(lab, server.id) is None
    held = lab.admin.placement.get(f'/allocations/{server.id}').json()
    assert held['allocations'] == {}
    assert list(lab.admin.network.ports(device_id=server.id)) == []
