# SPDX-License-Identifier: Apache-2.0
"""``make cloud``: what is brought up, and in which order."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from devstack.lab import (
    compute,
    configure,
    control,
    first_server,
    horizon,
    machines,
    network,
    overlay,
    packages,
    passwords,
    pcs,
    schemas,
    services,
    venvs,
)
from devstack.lab.layout import CONTROL, SWITCH, Layout, pc_name
from devstack.lab.machines import Machine
from devstack.lab.plan import Plan
from devstack.lab.services import Service
from devstack.lab.settings import Settings
from devstack.lab.shell import CLEAN_ENVIRONMENT, run_logged

SEED_TIMEOUT_S = 120.0
GUEST_TIMEOUT_S = 600.0

BUILD_TOOLS = 'Debian packages to build with'
PACKAGES = 'Debian packages'
CLOUD_VENV = 'virtual environment of the control plane'
PEER_VENV = 'virtual environment of the PCs'
DASHBOARD_VENV = 'virtual environment of the dashboard'
CONFIGURATION = 'configuration'
GUEST = 'guest image'
GATEWAY = 'gateway of the overlay'
NEUTRON = 'neutron'
PLACEMENT = 'placement'
CONDUCTOR = 'nova conductor'
SCHEDULER = 'nova scheduler'
RESOURCES = 'network, flavors, image, key pair'
POWER = 'switch and control plane host'


@dataclasses.dataclass(frozen=True)
class Cloud:
    """The steps of one lab, each safe to repeat."""

    settings: Settings

    @property
    def layout(self) -> Layout:
        """The lab's places."""
        return self.settings.layout

    @property
    def control(self) -> Machine:
        """The control plane's host, which is on."""
        return machines.get(self.layout, CONTROL)

    def power_on(self) -> None:
        """The switch, the control plane's host and their cables."""
        switch = machines.power_on(self.layout, SWITCH)
        network.bring_up_switch(switch)
        network.connect_host(switch)
        host = machines.power_on(self.layout, CONTROL)
        network.connect_control(switch, host)

    def configure(self) -> None:
        """The configuration of all stock services."""
        configure.write_all(self.settings)

    def mariadb(self) -> None:
        """The database server, with the services' databases."""
        schemas.install_mariadb(self.layout, self.control)
        services.ensure(
            self.layout, self.control, control.mariadb(self.layout)
        )
        schemas.make_databases(self.settings, self.control)

    def rabbit(self) -> None:
        """The message queue."""
        services.ensure(self.layout, self.control, control.rabbit(self.layout))

    def tables(
        self, sync: Callable[[Settings, Machine], None]
    ) -> Callable[[], None]:
        """A step that makes one service's tables."""
        return lambda: sync(self.settings, self.control)

    def service(
        self, make: Callable[[Settings], Service]
    ) -> Callable[[], None]:
        """A step that has one service up."""
        return lambda: services.ensure(
            self.layout, self.control, make(self.settings)
        )

    def seed_identity(self) -> None:
        """Projects, users, roles and the catalogue."""
        self.inside('identity', str(self.layout.passwords))

    def neutron(self) -> None:
        """Neutron, with its rules read before others ask."""
        self.service(control.neutron)()
        self.inside('rules', str(self.layout.passwords))

    def offer_resources(self) -> None:
        """Network, flavors, image, and access for demo."""
        first_server.ensure_key(self.layout)
        self.inside(
            'resources', str(self.layout.lab), str(self.layout.guest_image)
        )

    def see_capacity(self) -> None:
        """Wait until servers can be placed on every slice with room."""
        self.inside(
            'capacity',
            str(self.layout.passwords),
            *overlay.slices_with_room(self.layout),
        )

    def inside(self, program: str, *arguments: str) -> None:
        """Run one of the programs that need OpenStack's libraries."""
        python = str(self.layout.cloud_venv / 'bin' / 'python')
        run_logged(
            [python, '-m', f'devstack.lab.inside.{program}', *arguments],
            self.layout.log('lab', program),
            timeout_s=SEED_TIMEOUT_S,
            env=CLEAN_ENVIRONMENT,
            cwd=self.layout.root,
        )


def build_guest(layout: Layout) -> None:
    """Have the guest's image; what it is made of is never installed."""
    packages.fetch_lists(layout)
    with venvs.source:
        run_logged(
            [
                machines.INTERPRETER, '-m', 'devstack.guest.build',
                '--output', str(layout.guest_image.parent),
            ],
            layout.cache / 'lab' / 'guest.log',
            timeout_s=GUEST_TIMEOUT_S,
            cwd=layout.root,
        )  # fmt: skip


def prepare(plan: Plan, layout: Layout, *more: str) -> None:
    """What stays after ``make cloud-down``: packages, venvs, the image.

    :param more: profiles of bindep.txt beside those of a cloud
    """
    add = plan.add

    def debian(*profiles: str) -> Callable[[], None]:
        return lambda: packages.install(layout, set(profiles))

    build = add(BUILD_TOOLS, debian('build'))
    add(PACKAGES, debian('peer', 'cloud', *more), build)
    add(GUEST, lambda: build_guest(layout), PACKAGES)
    add(CLOUD_VENV, lambda: venvs.ensure(layout, venvs.CLOUD), build)
    add(PEER_VENV, lambda: venvs.ensure(layout, venvs.PEER), build)


def prepare_dashboard(plan: Plan, layout: Layout) -> None:
    """What stays of the dashboard."""
    plan.add(DASHBOARD_VENV, lambda: horizon.install(layout), BUILD_TOOLS)


def control_plane(plan: Plan, cloud: Cloud) -> None:
    """The stock services, from nothing to APIs that answer."""
    add, tables, service = plan.add, cloud.tables, cloud.service
    add(POWER, cloud.power_on, PACKAGES)
    mariadb = add('mariadb', cloud.mariadb, POWER)
    rabbit = add('rabbitmq', cloud.rabbit, POWER, CONFIGURATION)
    ready = (mariadb, CONFIGURATION)
    keystone_db = add(
        'keystone: tables', tables(schemas.sync_keystone), *ready
    )
    nova_db = add('nova: tables', tables(schemas.sync_nova), *ready)
    neutron_db = add('neutron: tables', tables(schemas.sync_neutron), *ready)
    glance_db = add('glance: tables', tables(schemas.sync_glance), keystone_db)
    placement_db = add(
        'placement: tables', tables(schemas.sync_placement), glance_db
    )
    keystone = add('keystone', service(control.keystone), keystone_db)
    seed = add('keystone: users and catalogue', cloud.seed_identity, keystone)
    nova = (nova_db, rabbit, seed)
    glance = add('glance', service(control.glance), glance_db, seed)
    add(PLACEMENT, service(control.placement), placement_db, seed)
    add(NEUTRON, cloud.neutron, neutron_db, rabbit, seed)
    nova_api = add('nova API', service(control.nova_api), *nova)
    # Both look for placement's versions when they start, and end without.
    add(CONDUCTOR, service(control.nova_conductor), *nova, PLACEMENT)
    add(SCHEDULER, service(control.nova_scheduler), *nova, PLACEMENT)
    add(RESOURCES, cloud.offer_resources, GUEST, glance, NEUTRON, nova_api)


def join_pc(plan: Plan, layout: Layout, number: int, *after: str) -> str:
    """The steps of one PC, from power to membership."""
    name = pc_name(number)
    power = plan.add(
        f'{name}: libvirt',
        functools.partial(pcs.bring_up, layout, number),
        *after,
    )
    return plan.add(
        f'{name}: joined',
        functools.partial(overlay.join, layout, number),
        power,
        *after,
    )


def up(
    plan: Plan, layout: Layout, numbers: list[int], *, dashboard: bool
) -> None:
    """Everything, from a fresh machine to a cloud with servers.

    :param numbers: the PCs
    :param dashboard: whether Horizon is wanted too
    """
    prepare(plan, layout)
    words = passwords.load(layout.passwords)
    cloud = Cloud(Settings(layout, words))
    plan.add(CONFIGURATION, cloud.configure, CLOUD_VENV)
    control_plane(plan, cloud)
    if dashboard:
        prepare_dashboard(plan, layout)
        plan.add(
            'horizon',
            functools.partial(horizon.bring_up, cloud.settings),
            DASHBOARD_VENV,
            RESOURCES,
        )
    plan.add(
        GATEWAY,
        functools.partial(overlay.bring_up_gateway, layout),
        POWER,
        CLOUD_VENV,
    )
    joined = [
        join_pc(plan, layout, number, GATEWAY, PEER_VENV) for number in numbers
    ]
    seen = plan.add(
        'the gateway sees all PCs',
        functools.partial(overlay.wait_for_offers, layout, *numbers),
        *joined,
    )
    keeper = plan.add(
        'gateway program',
        functools.partial(compute.bring_up, cloud.settings),
        seen,
        NEUTRON,
        PLACEMENT,
        CONDUCTOR,
        SCHEDULER,
    )
    computes = plan.add(
        'nova-computes of the slices',
        functools.partial(compute.wait_for_all, cloud.settings),
        keeper,
    )
    capacity = plan.add(
        'nova sees the capacity of the slices', cloud.see_capacity, computes
    )
    server = plan.add(
        'openstack server create',
        functools.partial(first_server.create, layout),
        RESOURCES,
        capacity,
    )
    plan.add(
        'login over ssh',
        functools.partial(first_server.wait_for_login, layout),
        server,
    )
