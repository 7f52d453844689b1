# SPDX-License-Identifier: Apache-2.0
"""Wishes of flavor and image, and how images travel."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import pytest

from devstack.lab.network import NIC
from p2pcs_nova.imaging import image_path
from tests.conftest import Figure
from tests.support import pcs
from tests.support.catalogue import flavor, image
from tests.support.lab import Lab
from tests.support.servers import Bench, wait_for_login

pytestmark = pytest.mark.lab

REFUSED_OF_IMAGES = {
    'hw_firmware_type': 'uefi',
    'hw_watchdog_action': 'reset',
    'hw_disk_bus': 'usb',
    'hw_video_model': 'qxl',
    'os_type': 'windows',
}
REFUSED_OF_FLAVORS = {
    'hw:watchdog_action': 'reset',
    'hw:boot_menu': 'true',
    'hw:cpu_policy': 'dedicated',
    'quota:vif_inbound_average': '1000',
}
BIG = 8 * 2**20
"""Bytes of an image whose way one can see in a network card's counter."""


def unnamed(bench: Bench, asked: Mapping[str, str]) -> Mapping[str, str]:
    """The faults that do not name the wish; the servers are deleted."""
    faults = {
        key: bench.wait(found, 'ERROR').fault['message']
        for key, found in asked.items()
    }
    bench.delete(*asked.values())
    return {key: said for key, said in faults.items() if key not in said}


def test_image_properties_that_cannot_be_honoured_are_refused_by_name(
    lab: Lab, bench: Bench
) -> None:
    asked: dict[str, str] = {}
    with contextlib.ExitStack() as undo:
        for key, value in REFUSED_OF_IMAGES.items():
            name = f'test-{key.replace("_", "-")}'
            guest = lab.layout.guest_image
            made = image(lab, name, guest, 'qcow2', **{key: value})
            undo.enter_context(made)
            asked[key] = bench.create(name, image=name)
        assert unnamed(bench, asked) == {}


def test_extra_specs_that_cannot_be_honoured_are_refused_by_name(
    lab: Lab, bench: Bench
) -> None:
    asked: dict[str, str] = {}
    with contextlib.ExitStack() as undo:
        for key, value in REFUSED_OF_FLAVORS.items():
            name = f'test-{key.replace(":", "-").replace("_", "-")}'
            undo.enter_context(flavor(lab, name, {key: value}))
            asked[key] = bench.create(name, name)
        undo.enter_context(flavor(lab, 'test-swap', {}, swap=64))
        asked['swap'] = bench.create('test-swap', 'test-swap')
        assert unnamed(bench, asked) == {}


def test_buses_and_models_are_honoured(lab: Lab, bench: Bench) -> None:
    guest = lab.layout.guest_image
    with (
        image(lab, 'test-scsi', guest, 'qcow2', hw_disk_bus='scsi') as scsi,
        image(
            lab, 'test-q35', guest, 'qcow2', hw_machine_type='q35',
            hw_disk_bus='sata', hw_vif_model='e1000e',
        ) as q35,
        flavor(lab, 'test.no-rng', {'hw_rng:allowed': 'false'}) as no_rng,
    ):  # fmt: skip
        first = bench.create('on-scsi', image=scsi)
        second = bench.create('on-q35', no_rng, image=q35)
        server = bench.get(first)
        bench.wait(second)
        xml = pcs.domain_xml(lab, _pc_of(lab, first), first)
        assert _disk_bus(xml) == 'scsi'
        assert xml.find('devices/rng') is not None
        wait_for_login(lab, server)
        xml = pcs.domain_xml(lab, _pc_of(lab, second), second)
        assert _disk_bus(xml) == 'sata'
        assert 'q35' in str(xml.xpath('string(os/type/@machine)'))
        model = xml.xpath('string(devices/interface/model/@type)')
        assert model == 'e1000e'
        assert xml.find('devices/rng') is None
        bench.delete(first, second)


def _pc_of(lab: Lab, server_id: str) -> Any:
    return pcs.pcs(lab)[pcs.where(lab, server_id)]


def _disk_bus(xml: Any) -> str:
    (disk,) = xml.findall('devices/disk[@device="disk"]')
    return str(disk.find('target').get('bus'))


def test_server_is_on_the_pc_that_flavor_and_user_wish(
    lab: Lab, bench: Bench
) -> None:
    said = {
        name: pcs.status(pc).attributes for name, pc in pcs.pcs(lab).items()
    }
    *_, other, wanted = sorted(said, key=pcs.number_of)
    floor = said[wanted]['floor']
    assert said[other]['floor'] == floor
    specs = {
        'p2pcs:query': f'floor == {floor} && cores >= p(0) && memory_mb > 64'
    }
    hints = {
        'p2pcs:not_owner': str(said[other]['owner']),
        'p2pcs:query': 'cores >= 1',
    }
    with flavor(lab, 'test.wish', specs) as name:
        found = bench.create('wished', name, hints=hints)
        bench.wait(found)
        assert pcs.where(lab, found) == wanted
        bench.delete(found)


def test_wish_that_is_none_ends_in_error_at_once_with_its_place(
    lab: Lab, bench: Bench, figure: Figure
) -> None:
    specs = {'p2pcs:query': 'memory_mb > 64'}
    with flavor(lab, 'test.large', specs) as large:
        for wish, value, name, expected in (
            ('query', 'floor == 1 && flor', '', 'column 15: there is no attr'),
            ('query', 'cores >=', '', 'query: line 1, column 9: it ends too'),
            ('query', 'cores >=', large, 'hint: line 1, column 9: it ends t'),
            ('slice', 'bronze', '', 'there is no slice bronze; the policy'),
        ):
            begin = time.monotonic()
            found = bench.create(
                'unwished',
                name or 'm1.tiny',
                hints={f'p2pcs:{wish}': value},
            )
            fault = bench.wait(found, 'ERROR').fault['message']
            figure('wishes: in ERROR', time.monotonic() - begin)
            assert expected in fault
            assert len(fault) <= 255
            bench.delete(found)


def test_server_that_no_pc_may_have_is_on_none(lab: Lab, bench: Bench) -> None:
    found = bench.create('nowhere', hints={'p2pcs:query': 'floor == 0'})
    bench.wait(found, 'ERROR')
    assert pcs.placed(lab, found) is None
    bench.delete(found)


def test_api_refuses_extra_specs_that_are_no_wishes(lab: Lab) -> None:
    compute = lab.admin.compute
    made = compute.create_flavor(name='test.none', vcpus=1, ram=128, disk=1)
    try:
        for specs, status in (
            ({'p2pcs:query': 'floor >= p(50)', 'p2pcs:slice': 'gold'}, 200),
            ({'p2pcs:query': 'flor >= 1'}, 400),
            ({'p2pcs:slice': 'bronze'}, 400),
            ({'p2pcs:querry': 'true'}, 400),
        ):
            answer = compute.post(
                f'/flavors/{made.id}/os-extra_specs',
                json={'extra_specs': specs},
                microversion='2.86',
            )
            assert answer.status_code == status, answer.text
            if 'flor >= 1' in specs.values():
                assert (
                    "column 1: there is no attribute 'flor'; near: floor"
                    in (answer.text)
                )
    finally:
        compute.delete_flavor(made)


def received(lab: Lab, pc: Any) -> int:
    """Bytes that have come in at a PC's network card."""
    path = f'/sys/class/net/{NIC}/statistics/rx_bytes'
    return int(lab.inside(pc, 'cat', path))


def test_an_image_comes_to_a_pc_once_and_is_named_by_its_digest(
    lab: Lab, bench: Bench, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'random.raw'
    path.write_bytes(bytes(512) + os.urandom(BIG - 512))
    digest = hashlib.sha512(path.read_bytes()).hexdigest()
    kept, *closed = pcs.pcs(lab).values()
    with (
        image(lab, 'test-once', path, 'raw') as name,
        pcs.draining(lab, *closed),
    ):
        counts = [received(lab, kept)]
        ids = []
        for one in ('once-1', 'once-2'):
            ids.append(bench.create(one, image=name))
            bench.wait(ids[-1])
            counts.append(received(lab, kept))
        assert {pcs.where(lab, found) for found in ids} == {kept.name}
        first, second, third = counts
        assert second - first > BIG
        assert third - second < BIG / 2
        folder = kept.path(f'{pcs.STATE_DIR}/images')
        cached = image_path(folder, f'sha512:{digest}')
        assert cached.read_bytes() == path.read_bytes()
        for file in folder.iterdir():
            algorithm, _, value = file.name.partition('-')
            found = hashlib.new(algorithm, file.read_bytes()).hexdigest()
            assert found == value
        bench.delete(*ids)
