# SPDX-License-Identifier: Apache-2.0
"""What a new cloud offers its users: network, flavors, image, access.

Run as ``resources LAB IMAGE``; what is there already stays, and an image
that was built anew is uploaded beside the old one, which is hidden.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import sys
from typing import Any

from devstack.lab.inside.cloud import connect
from devstack.lab.layout import DNS_ADDRESS, GUEST_POOL, LAN
from devstack.lab.names import FLAVORS, IMAGE, KEY_NAME, NETWORK
from devstack.lab.settings import PHYSICAL_NETWORK

Cloud = Any  # the SDK's layer of short-cuts has no types


def ensure_network(admin: Cloud) -> None:
    """The office LAN, shared: Neutron gives addresses, nobody DHCP."""
    network = admin.get_network(NETWORK) or admin.create_network(
        NETWORK,
        shared=True,
        provider={
            'network_type': 'flat',
            'physical_network': PHYSICAL_NETWORK,
        },
    )
    if not admin.search_subnets(NETWORK, {'network_id': network.id}):
        first, last = GUEST_POOL
        admin.create_subnet(
            network.id,
            cidr=str(LAN),
            subnet_name=NETWORK,
            enable_dhcp=False,
            disable_gateway_ip=True,
            dns_nameservers=[DNS_ADDRESS],
            allocation_pools=[{'start': first, 'end': last}],
        )


def ensure_flavors(admin: Cloud) -> None:
    """A few sizes that fit a PC of the lab."""
    have = {flavor.name for flavor in admin.list_flavors()}
    for name, vcpus, ram, disk in FLAVORS:
        if name not in have:
            admin.create_flavor(name, ram=ram, vcpus=vcpus, disk=disk)


def ensure_image(admin: Cloud, path: pathlib.Path) -> None:
    """The guest's image, public, as it is built now."""
    digest = hashlib.sha512(path.read_bytes()).hexdigest()
    for image in list(admin.image.images(name=IMAGE)):
        if image.status == 'active' and image.hash_value == digest:
            return
        admin.image.update_image(image.id, name=f'{IMAGE}-{image.id[:8]}')
        if image.status != 'active':
            admin.image.delete_image(image.id)
    admin.create_image(
        IMAGE,
        filename=str(path),
        disk_format='qcow2',
        container_format='bare',
        visibility='public',
        wait=True,
        timeout=120,
    )


def ensure_access(demo: Cloud, key: pathlib.Path) -> None:
    """A key pair, and a security group that lets ping and ssh in."""
    public = key.with_suffix('.pub').read_text().strip()
    pair = demo.get_keypair(KEY_NAME)
    if pair is not None and pair.public_key.strip() != public:
        demo.delete_keypair(KEY_NAME)
        pair = None
    if pair is None:
        demo.create_keypair(KEY_NAME, public)
    project = demo.current_project_id
    (group,) = demo.network.security_groups(name='default', project_id=project)
    have = {
        (rule.protocol, rule.port_range_min, rule.remote_ip_prefix)
        for rule in demo.network.security_group_rules(
            security_group_id=group.id, direction='ingress'
        )
    }
    for protocol, port in (('icmp', None), ('tcp', 22)):
        if (protocol, port, '0.0.0.0/0') not in have:
            demo.network.create_security_group_rule(
                security_group_id=group.id,
                direction='ingress',
                ethertype='IPv4',
                protocol=protocol,
                port_range_min=port,
                port_range_max=port,
                remote_ip_prefix='0.0.0.0/0',
            )


def main(lab: pathlib.Path, image: pathlib.Path) -> None:
    """Offer everything."""
    passwords = json.loads((lab / 'passwords.json').read_text())
    admin: Cloud = connect('admin', passwords['admin'], 'admin')
    demo: Cloud = connect('demo', passwords['demo'], 'demo')
    ensure_network(admin)
    ensure_flavors(admin)
    ensure_image(admin, image)
    ensure_access(demo, lab / 'id_ed25519')


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
