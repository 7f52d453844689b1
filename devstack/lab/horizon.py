# SPDX-License-Identifier: Apache-2.0
"""The dashboard, when it is asked for."""

from __future__ import annotations

import pathlib
import shutil

from devstack.lab import machines, services, venvs
from devstack.lab.layout import CONTROL, CONTROL_ADDRESS, Layout
from devstack.lab.services import Service
from devstack.lab.settings import AUTH_URL, Settings
from devstack.lab.shell import CLEAN_ENVIRONMENT, run_logged

PORT = 8080
URL = f'http://{CONTROL_ADDRESS}:{PORT}/'
SETTINGS = venvs.HERE / 'dashboard' / 'local_settings.py'
STATIC_TIMEOUT_S = 300.0
VENV = venvs.Venv(
    'horizon',
    ('horizon', 'gunicorn'),
    (venvs.CONSTRAINTS, SETTINGS),
    editable=False,
)


def environment(layout: Layout, secret: str) -> dict[str, str]:
    """What :mod:`.dashboard.local_settings` reads."""
    return {
        'P2PCS_HORIZON_STATIC': str(layout.horizon_venv / 'static'),
        'P2PCS_HORIZON_KEYSTONE': f'{AUTH_URL}/v3',
        'P2PCS_HORIZON_SECRET': secret,
        'DJANGO_SETTINGS_MODULE': 'openstack_dashboard.settings',
    }


def install(layout: Layout) -> None:
    """Have the environment, with static files collected and compressed."""
    venvs.ensure(layout, VENV, lambda: _prepare(layout))


def _prepare(layout: Layout) -> None:
    (package,) = layout.horizon_venv.glob(
        'lib/python3*/site-packages/openstack_dashboard'
    )
    shutil.copy(layout.root / SETTINGS, package / 'local' / SETTINGS.name)
    python = str(layout.horizon_venv / 'bin' / 'python')
    for arguments in (['collectstatic', '--noinput'], ['compress', '--force']):
        run_logged(
            [python, '-m', 'django', *arguments],
            layout.cache / 'lab' / 'horizon.log',
            timeout_s=STATIC_TIMEOUT_S,
            env={
                **CLEAN_ENVIRONMENT,
                **environment(layout, 'only to collect files'),
            },
            cwd=layout.root,
        )


def service(settings: Settings) -> Service:
    """The dashboard's web server."""
    layout = settings.layout
    return Service(
        name='horizon',
        argv=(
            str(layout.horizon_venv / 'bin' / 'gunicorn'),
            '--chdir', str(layout.root),
            '--bind', f'{CONTROL_ADDRESS}:{PORT}',
            '--workers', '1',
            '--threads', '8',
            'devstack.lab.dashboard.wsgi:make_application()',
        ),
        env=environment(layout, settings.passwords['horizon']),
        configuration=(pathlib.Path(layout.root / SETTINGS),),
        http_port=PORT,
    )  # fmt: skip


def is_up(layout: Layout) -> bool:
    """Whether the dashboard runs."""
    control = machines.find(layout, CONTROL)
    return control is not None and bool(services.find(control, 'horizon'))


def bring_up(settings: Settings) -> None:
    """Have the dashboard answer."""
    control = machines.get(settings.layout, CONTROL)
    services.ensure(settings.layout, control, service(settings))
