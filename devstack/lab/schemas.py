# SPDX-License-Identifier: Apache-2.0
"""Databases and their tables, made once per lab."""

from __future__ import annotations

import base64
import os
import pathlib
import shutil
from collections.abc import Mapping

from devstack.lab.control import MARIADB_SOCKET
from devstack.lab.layout import Layout
from devstack.lab.machines import Machine
from devstack.lab.passwords import write_private
from devstack.lab.settings import AUTH_URL, DATABASES, REGION, Settings
from devstack.lab.shell import CLEAN_ENVIRONMENT, run, run_logged

SQL_TIMEOUT_S = 60.0
SYNC_TIMEOUT_S = 300.0


def install_mariadb(layout: Layout, control: Machine) -> None:
    """Make the database server's own tables, unless they are there."""
    data = layout.control / 'data' / 'mariadb'
    if data.exists():
        return
    new = data.with_suffix('.new')
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    run_logged(
        control.enter(
            'mariadb-install-db',
            '--no-defaults',
            '--user=root',
            f'--datadir={new}',
            '--skip-test-db',
            '--auth-root-authentication-method=normal',
        ),
        layout.log(control.name, 'mariadb-install'),
        timeout_s=SYNC_TIMEOUT_S,
        env=CLEAN_ENVIRONMENT,
    )
    new.rename(data)


def database_sql(password: str) -> str:
    """The statements that make the databases and their one user."""
    user = "openstack@'127.0.0.1'"
    create = [
        f'CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8;'
        for name in DATABASES
    ]
    grant = [f'GRANT ALL ON {name}.* TO {user};' for name in DATABASES]
    account = f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}';"
    return '\n'.join([*create, account, *grant, ''])


def make_databases(settings: Settings, control: Machine) -> None:
    """Have every service's database, still empty."""
    run(
        control.enter(
            'mariadb',
            '--no-defaults',
            '--user=root',
            f'--socket={MARIADB_SOCKET}',
        ),
        stdin=database_sql(settings.passwords['database']),
        timeout_s=SQL_TIMEOUT_S,
        env=CLEAN_ENVIRONMENT,
    )


def make_key_repository(folder: pathlib.Path) -> None:
    """A primary key (1) and the one that comes next (0), as fernet has it."""
    if (folder / '1').exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in ('0', '1'):
        key = base64.urlsafe_b64encode(os.urandom(32))
        write_private(folder / name, key.decode())


class Once:
    """A step of which the lab remembers that it is done."""

    def __init__(self, layout: Layout, name: str) -> None:
        self._mark = layout.control / 'done' / name

    @property
    def done(self) -> bool:
        """Whether it was carried out to its end."""
        return self._mark.exists()

    def set(self) -> None:
        """Remember that it is done."""
        self._mark.parent.mkdir(parents=True, exist_ok=True)
        self._mark.touch()


def manage_openstack(
    settings: Settings,
    control: Machine,
    command: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run one of OpenStack's administrative commands in the machine."""
    run_logged(
        control.enter(settings.venv(f'bin/{command}'), *arguments),
        settings.layout.log(control.name, command),
        timeout_s=SYNC_TIMEOUT_S,
        env={**CLEAN_ENVIRONMENT, **(env or {})},
    )


def sync_keystone(settings: Settings, control: Machine) -> None:
    """keystone's tables, keys and first administrator."""
    once = Once(settings.layout, 'keystone')
    if once.done:
        return
    # keystone-manage wants the option and its value apart
    path = settings.layout.etc('keystone') / 'keystone.conf'
    config = ('--config-file', str(path))
    for name in ('fernet-keys', 'credential-keys'):
        make_key_repository(pathlib.Path(settings.data(f'keystone/{name}')))
    manage_openstack(settings, control, 'keystone-manage', *config, 'db_sync')
    manage_openstack(
        settings,
        control,
        'keystone-manage',
        *config,
        'bootstrap',
        env={
            'OS_BOOTSTRAP_PASSWORD': settings.passwords['admin'],
            'OS_BOOTSTRAP_ADMIN_URL': f'{AUTH_URL}/v3/',
            'OS_BOOTSTRAP_INTERNAL_URL': f'{AUTH_URL}/v3/',
            'OS_BOOTSTRAP_PUBLIC_URL': f'{AUTH_URL}/v3/',
            'OS_BOOTSTRAP_REGION_ID': REGION,
        },
    )
    once.set()


def sync_glance(settings: Settings, control: Machine) -> None:
    """glance's tables."""
    once = Once(settings.layout, 'glance')
    if once.done:
        return
    config = f'--config-file={settings.layout.etc("glance")}/glance-api.conf'
    manage_openstack(settings, control, 'glance-manage', config, 'db_sync')
    once.set()


def sync_placement(settings: Settings, control: Machine) -> None:
    """placement's tables."""
    once = Once(settings.layout, 'placement')
    if once.done:
        return
    etc = settings.layout.etc('placement')
    manage_openstack(
        settings,
        control,
        'placement-manage',
        f'--config-file={etc}/placement.conf',
        'db',
        'sync',
        env={'OS_PLACEMENT_CONFIG_DIR': str(etc)},
    )
    once.set()


def sync_neutron(settings: Settings, control: Machine) -> None:
    """neutron's tables."""
    once = Once(settings.layout, 'neutron')
    if once.done:
        return
    config = f'--config-file={settings.layout.etc("neutron")}/neutron.conf'
    manage_openstack(
        settings, control, 'neutron-db-manage', config, 'upgrade', 'heads'
    )
    once.set()


def sync_nova(settings: Settings, control: Machine) -> None:
    """nova's tables, and its one cell beside cell0."""
    config = f'--config-file={settings.layout.etc("nova")}/nova.conf'
    cell0 = f'--database_connection={settings.database("nova_cell0")}'
    for arguments in (
        ('api_db', 'sync'),
        ('cell_v2', 'map_cell0', cell0),
        ('db', 'sync'),
        ('cell_v2', 'create_cell', '--name=cell1'),
    ):
        # A second cell1 is refused: each command has its own mark.
        once = Once(settings.layout, f'nova-{"-".join(arguments[:2])}')
        if not once.done:
            manage_openstack(
                settings, control, 'nova-manage', config, *arguments
            )
            once.set()
