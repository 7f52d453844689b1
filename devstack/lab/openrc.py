# SPDX-License-Identifier: Apache-2.0
"""The files that turn an ordinary shell into a user's of the cloud."""

from __future__ import annotations

import pathlib
import shlex

from devstack.lab import machines, operator
from devstack.lab.layout import CONTROL_ADDRESS
from devstack.lab.passwords import write_private
from devstack.lab.settings import AUTH_URL, REGION, Settings


def render_openrc(bin_dir: str, user: str, project: str, word: str) -> str:
    """A file for ``.`` of any POSIX shell; sourcing it twice is the same."""
    variables = {
        'OS_AUTH_URL': f'{AUTH_URL}/v3',
        'OS_IDENTITY_API_VERSION': '3',
        'OS_USERNAME': user,
        'OS_PASSWORD': word,
        'OS_PROJECT_NAME': project,
        'OS_USER_DOMAIN_NAME': 'Default',
        'OS_PROJECT_DOMAIN_NAME': 'Default',
        'OS_REGION_NAME': REGION,
    }
    exports = [
        f'export {name}={shlex.quote(value)}'
        for name, value in variables.items()
    ]
    quoted = shlex.quote(bin_dir)
    path = (
        f'case ":$PATH:" in *:{quoted}:*) ;; '
        f'*) export PATH={quoted}:"$PATH" ;; esac'
    )
    comment = f'# {user} of project {project}, in the one-machine cloud'
    proxies = [_past_the_proxy(name) for name in ('no_proxy', 'NO_PROXY')]
    return '\n'.join([comment, *exports, path, *proxies, ''])


def _past_the_proxy(name: str) -> str:
    return (
        f'case ",${name}," in *,{CONTROL_ADDRESS},*) ;; *) '
        f'export {name}="${{{name}:+${name},}}{CONTROL_ADDRESS}" ;; esac'
    )


def render_manage(root: pathlib.Path) -> str:
    """``p2pcs-manage`` as it is on the gateway, for an ordinary shell."""
    return (
        '#!/bin/sh\n'
        f'exec env PYTHONPATH={shlex.quote(str(root))} '
        f'{machines.INTERPRETER} -P -m {operator.__name__} "$@"\n'
    )


def write(settings: Settings) -> None:
    """Write both files, and the folder with what they put on PATH."""
    layout = settings.layout
    bin_dir = layout.lab / 'bin'
    bin_dir.mkdir(parents=True, exist_ok=True)
    link = bin_dir / 'openstack'
    if not link.is_symlink():
        link.symlink_to(layout.cloud_venv / 'bin' / 'openstack')
    manage = bin_dir / 'p2pcs-manage'
    manage.write_text(render_manage(layout.root))
    manage.chmod(0o755)
    for name, user in (('openrc', 'demo'), ('openrc-admin', 'admin')):
        write_private(
            layout.lab / name,
            render_openrc(str(bin_dir), user, user, settings.passwords[user]),
        )
