# SPDX-License-Identifier: Apache-2.0
"""What an installation brings, as pip sees it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEADLINE_S = 1800.0
OPENSTACK = ('nova', 'keystone', 'neutron', 'glance', 'openstack-placement')


def run(*command: str | pathlib.Path) -> str:
    """A command's standard output.

    :raises AssertionError: it failed; with what it said
    """
    result = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope='module')
def fresh_venv(
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    """A new environment with what README tells an owner to install."""
    venv = tmp_path_factory.mktemp('owner') / 'venv'
    run(sys.executable, '-m', 'venv', venv)
    run(venv / 'bin' / 'pip', 'install', '--quiet', '.[peer]')
    return venv


@pytest.mark.lab
def test_a_pc_gets_nothing_of_openstack_s_services(
    fresh_venv: pathlib.Path,
) -> None:
    listed = json.loads(
        run(fresh_venv / 'bin' / 'pip', 'list', '--format', 'json')
    )
    installed = {package['name'].lower() for package in listed}
    assert 'p2pcs-nova' in installed
    assert installed.isdisjoint(OPENSTACK)


@pytest.mark.lab
@pytest.mark.parametrize(
    'command', [('--help',), ('run', '--help'), ('join', '--help')]
)
def test_the_owner_s_command_runs_from_there(
    fresh_venv: pathlib.Path, command: tuple[str, ...]
) -> None:
    assert 'usage: p2pcs-peer' in run(
        fresh_venv / 'bin' / 'p2pcs-peer', *command
    )


@pytest.mark.slow
def test_the_gateway_extra_brings_what_a_control_plane_needs(
    tmp_path: pathlib.Path,
) -> None:
    venv = tmp_path / 'venv'
    run(sys.executable, '-m', 'venv', venv)
    constraints = ('--constraint', 'devstack/lab/constraints.txt')
    run(venv / 'bin' / 'pip', 'install', '--quiet', *constraints, '.[gateway]')
    program = (
        'import p2pcs_nova.daemon.gateway_role, p2pcs_nova.virt.driver, '
        'p2pcs_nova.network.mechanism, p2pcs_nova.network.service'
    )
    run(venv / 'bin' / 'python', '-W', 'ignore', '-c', program)
    assert 'peer list' in run(venv / 'bin' / 'p2pcs-manage', '--help')


@pytest.mark.lab
def test_examples_and_units_are_installed(fresh_venv: pathlib.Path) -> None:
    share = fresh_venv / 'share' / 'p2pcs-nova'
    assert (share / 'etc' / 'p2pcs.conf.sample').is_file()
    assert (share / 'systemd' / 'p2pcs-peer.service').is_file()


@pytest.mark.nova
@pytest.mark.parametrize(
    ('generator', 'sample'),
    [
        ('config-generator.conf', 'p2pcs.conf.sample'),
        ('nova-config-generator.conf', 'nova.conf.sample'),
    ],
)
def test_the_sample_configuration_is_up_to_date(
    generator: str, sample: str, tmp_path: pathlib.Path
) -> None:
    generated = tmp_path / sample
    run(
        pathlib.Path(sys.executable).with_name('oslo-config-generator'),
        '--config-file',
        f'etc/p2pcs/{generator}',
        '--output-file',
        generated,
    )
    kept = ROOT / 'etc' / 'p2pcs' / sample
    assert kept.read_text() == generated.read_text()
