# SPDX-License-Identifier: Apache-2.0
"""Fill keystone: projects, users, roles, services, endpoints.

Run as ``identity PASSWORDS``; what is there already stays.
"""

from __future__ import annotations

import functools
import json
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from openstack.connection import Connection

from devstack.lab import settings
from devstack.lab.inside.cloud import connect
from devstack.lab.layout import CONTROL_ADDRESS

DOMAIN = 'default'
SERVICES = (
    ('image', 'glance', settings.GLANCE_PORT, ''),
    ('placement', 'placement', settings.PLACEMENT_PORT, ''),
    ('network', 'neutron', settings.NEUTRON_PORT, ''),
    ('compute', 'nova', settings.NOVA_PORT, '/v2.1'),
)


def ensure(found: Any, create: Callable[[], Any]) -> Any:
    """What was found, or what is created now."""
    return found if found is not None else create()


def seed(cloud: Connection, passwords: Mapping[str, str]) -> None:
    """Everything that the services and the first users need."""
    identity: Any = cloud.identity  # its types allow for version 2
    roles = {role.name: role for role in identity.roles()}
    for name in ('service', 'admin', 'member', 'reader'):
        if name not in roles:
            roles[name] = identity.create_role(name=name)
    service = _project(cloud, 'service')
    demo = _project(cloud, 'demo')
    admin = identity.find_user('admin', ignore_missing=False)
    for _, name, _, _ in SERVICES:
        user = _user(cloud, name, passwords[name], service)
        for role in ('admin', 'service'):
            identity.assign_project_role_to_user(service, user, roles[role])
    user = _user(cloud, 'demo', passwords['demo'], demo)
    identity.assign_project_role_to_user(demo, user, roles['member'])
    identity.assign_project_role_to_user(demo, admin, roles['admin'])
    _catalog(cloud)


def _project(cloud: Connection, name: str) -> Any:
    identity = cloud.identity
    return ensure(
        identity.find_project(name),
        lambda: identity.create_project(name=name, domain_id=DOMAIN),
    )


def _user(cloud: Connection, name: str, password: str, project: Any) -> Any:
    identity = cloud.identity
    return ensure(
        identity.find_user(name),
        lambda: identity.create_user(
            name=name,
            password=password,
            domain_id=DOMAIN,
            default_project_id=project.id,
        ),
    )


def _catalog(cloud: Connection) -> None:
    identity = cloud.identity
    services = {service.type: service for service in identity.services()}
    endpoints = {
        (endpoint.service_id, endpoint.interface)
        for endpoint in identity.endpoints()
    }
    for kind, name, port, path in SERVICES:
        service = ensure(
            services.get(kind),
            functools.partial(identity.create_service, type=kind, name=name),
        )
        for interface in ('public', 'internal', 'admin'):
            if (service.id, interface) not in endpoints:
                identity.create_endpoint(
                    service_id=service.id,
                    interface=interface,
                    url=f'http://{CONTROL_ADDRESS}:{port}{path}',
                    region_id=settings.REGION,
                )


if __name__ == '__main__':
    words = json.loads(pathlib.Path(sys.argv[1]).read_text())
    seed(connect('admin', words['admin'], 'admin'), words)
