# SPDX-License-Identifier: Apache-2.0
"""The stock services of the control plane: how each one is started."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping

from devstack.lab import settings as ports
from devstack.lab.layout import CONTROL_ADDRESS, Layout
from devstack.lab.services import Service
from devstack.lab.settings import Settings

MARIADB_SOCKET = '/run/mariadb.sock'


def mariadb(layout: Layout) -> Service:
    """The database server, which never waits for the disk.

    What it holds survives its own end, not that of the whole machine: so
    tables are made in a third of the time.
    """
    return Service(
        name='mariadb',
        argv=(
            'mariadbd',
            '--no-defaults',
            '--user=root',
            f'--datadir={layout.control / "data" / "mariadb"}',
            f'--socket={MARIADB_SOCKET}',
            '--pid-file=/run/mariadb.pid',
            '--bind-address=127.0.0.1',
            f'--port={ports.MARIADB_PORT}',
            '--max-connections=500',
            '--skip-log-bin',
            '--innodb-flush-log-at-trx-commit=0',
            '--innodb-flush-method=nosync',
            '--skip-sync-frm',
            '--innodb-buffer-pool-size=256M',
            '--performance-schema=OFF',
            '--character-set-server=utf8mb3',
            '--skip-name-resolve',
        ),
        port=ports.MARIADB_PORT,
    )


def rabbit(layout: Layout) -> Service:
    """The message queue."""
    data = layout.control / 'data' / 'rabbit'
    etc = layout.etc('rabbit')
    return Service(
        name='rabbit',
        argv=('/usr/lib/rabbitmq/bin/rabbitmq-server',),
        env={
            'HOME': str(data),
            'RABBITMQ_NODENAME': 'rabbit@localhost',
            'RABBITMQ_MNESIA_BASE': str(data / 'mnesia'),
            'RABBITMQ_LOG_BASE': str(layout.log('control', 'rabbit').parent),
            'RABBITMQ_NODE_IP_ADDRESS': '127.0.0.1',
            'RABBITMQ_NODE_PORT': str(ports.RABBIT_PORT),
            'ERL_EPMD_ADDRESS': '127.0.0.1',
            'RABBITMQ_ENABLED_PLUGINS_FILE': str(etc / 'plugins'),
            'RABBITMQ_CONFIG_FILE': str(etc / 'rabbitmq.conf'),
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': (
                '+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none'
            ),
        },
        configuration=(etc / 'plugins', etc / 'rabbitmq.conf'),
        port=ports.RABBIT_PORT,
    )


def rabbit_configuration(password: str) -> str:
    """rabbitmq.conf: loopback only, modest with memory and disk."""
    return (
        'loopback_users = none\n'
        'default_user = openstack\n'
        f'default_pass = {password}\n'
        'distribution.listener.interface = 127.0.0.1\n'
        'vm_memory_high_watermark.absolute = 1GB\n'
        'disk_free_limit.absolute = 50MB\n'
    )


def _uwsgi(
    settings: Settings,
    name: str,
    port: int,
    module: str,
    project: str,
    *more: str,
    env: Mapping[str, str] | None = None,
    source: Iterable[pathlib.Path] = (),
) -> Service:
    """An API under uWSGI: one process, eight threads.

    :param source: code of ours that it loads
    """
    layout = settings.layout
    etc = layout.etc(project)
    return Service(
        name=name,
        argv=(
            settings.venv('bin/uwsgi'),
            '--http-socket', f'{CONTROL_ADDRESS}:{port}',
            '--module', module,
            '--venv', str(layout.cloud_venv),
            '--processes', '1',
            '--threads', '8',
            '--enable-threads',
            '--master',
            '--lazy-apps',
            '--need-app',
            '--die-on-term',
            '--buffer-size', '65535',
            '--http-chunked-input',
            '--http-raw-body',
            '--add-header', 'Connection: close',
            '--procname-prefix', f'{name} ',
            '--logformat',
            '%(addr) %(method) %(uri) %(status) %(msecs)ms',
            *more,
        ),
        env={f'OS_{project.upper()}_CONFIG_DIR': str(etc), **(env or {})},
        configuration=(*sorted(etc.iterdir()), *source),
        http_port=port,
        fatal_line='DAMN ! worker',
    )  # fmt: skip


def keystone(settings: Settings) -> Service:
    """Identity."""
    return _uwsgi(
        settings,
        'keystone',
        ports.KEYSTONE_PORT,
        'keystone.wsgi.api',
        'keystone',
    )


def placement(settings: Settings) -> Service:
    """Inventories and allocations."""
    return _uwsgi(
        settings,
        'placement',
        ports.PLACEMENT_PORT,
        'placement.wsgi.api',
        'placement',
    )


def neutron(settings: Settings) -> Service:
    """Networks; the start time is what its API workers agree on."""
    return _uwsgi(
        settings,
        'neutron',
        ports.NEUTRON_PORT,
        'neutron.wsgi.api',
        'neutron',
        '--set',
        'start-time=%t',
        env={'OS_NEUTRON_CONFIG_FILES': 'neutron.conf'},
        source=settings.layout.source(),
    )


def nova_api(settings: Settings) -> Service:
    """The compute API."""
    return _uwsgi(
        settings,
        'nova-api',
        ports.NOVA_PORT,
        'nova.wsgi.osapi_compute',
        'nova',
    )


def glance(settings: Settings) -> Service:
    """Images, under gunicorn: uWSGI breaks chunked uploads."""
    etc = settings.layout.etc('glance')
    return Service(
        name='glance',
        argv=(
            settings.venv('bin/gunicorn'),
            '--bind', f'{CONTROL_ADDRESS}:{ports.GLANCE_PORT}',
            '--workers', '1',
            '--threads', '8',
            '--timeout', '0',
            'glance.wsgi.api:application',
        ),
        env={'OS_GLANCE_CONFIG_DIR': str(etc)},
        configuration=tuple(sorted(etc.iterdir())),
        http_port=ports.GLANCE_PORT,
    )  # fmt: skip


def nova_conductor(settings: Settings) -> Service:
    """Between nova's API, its databases and the compute hosts."""
    return _nova_daemon(settings, 'conductor')


def nova_scheduler(settings: Settings) -> Service:
    """Chooses the slice of a server: ours, under Nova's name."""
    return _nova_daemon(
        settings,
        'scheduler',
        'p2pcs-scheduler',
        source=settings.layout.source(),
    )


def _nova_daemon(
    settings: Settings,
    what: str,
    command: str = '',
    source: Iterable[pathlib.Path] = (),
) -> Service:
    """A daemon of Nova; its command has its name if none is given."""
    configuration = settings.layout.etc('nova') / 'nova.conf'
    return Service(
        name=f'nova-{what}',
        argv=(
            settings.venv(f'bin/{command or f"nova-{what}"}'),
            '--config-file',
            str(configuration),
        ),
        configuration=(configuration, *source),
        ready_line=f'Starting {what} node',
    )
