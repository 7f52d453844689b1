# SPDX-License-Identifier: Apache-2.0
"""The stock nova-compute finds our driver, wherever Nova lies.

Each test is a fresh interpreter which does what nova-compute does, in its
order: os_vif's plug-ins first, then the driver by its short name.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import sysconfig

import pytest

pytestmark = pytest.mark.nova

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = pathlib.Path(sysconfig.get_paths()['purelib'])
PROGRAM = """
import sys
from nova import monkey_patch; monkey_patch.patch(backend='threading')
import os_vif
nova_modules = {m for m in sys.modules if m.split('.')[0] == 'nova'}
os_vif.initialize()
assert {
    m for m in sys.modules if m.split('.')[0] == 'nova'
} == nova_modules, 'the plug-in imports Nova'
from nova import config
config.parse_args(['nova-compute', '--config-file', sys.argv[1]])
from nova.virt import driver
found = driver.load_compute_driver(None)
print(type(found).__module__, type(found).__name__)
print(sys.modules['nova'].__file__)
import nova.conf
print(nova.conf.CONF.p2pcs.socket)
"""
INSTALLED = """
from importlib import metadata
names = {e.value for e in metadata.entry_points(group='os_vif')}
assert 'p2pcs_nova.virt.plugin:P2PcsPlugin' in names
"""


def run(
    tmp_path: pathlib.Path, program: str, *path: pathlib.Path
) -> subprocess.CompletedProcess[str]:
    """The program in a fresh interpreter, with more on its path."""
    conf = tmp_path / 'nova.conf'
    conf.write_text(
        '[DEFAULT]\n'
        'compute_driver = p2pcs.P2PDriver\n'
        f'state_path = {tmp_path}\n'
        '[p2pcs]\n'
        'socket = /run/elsewhere.sock\n'
    )
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', program, str(conf)],
        cwd=tmp_path,
        env=os.environ | {'PYTHONPATH': os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def entry_points(tmp_path: pathlib.Path) -> list[pathlib.Path]:
    """Path entries that make this tree an installed distribution."""
    if run(tmp_path, INSTALLED).returncode == 0:
        return [ROOT]
    info = tmp_path / 'site' / 'p2pcs_nova-0.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: p2pcs-nova\nVersion: 0\n'
    )
    (info / 'entry_points.txt').write_text(
        '[os_vif]\np2pcs = p2pcs_nova.virt.plugin:P2PcsPlugin\n'
    )
    return [info.parent, ROOT]


def check(result: subprocess.CompletedProcess[str], nova: str) -> None:
    assert result.returncode == 0, result.stderr[-4000:]
    driver, where, socket = result.stdout.splitlines()[-3:]
    assert driver == 'p2pcs_nova.virt.driver P2PDriver'
    assert where == nova
    assert socket == '/run/elsewhere.sock'


def test_driver_loads_beside_an_installed_nova(
    tmp_path: pathlib.Path, entry_points: list[pathlib.Path]
) -> None:
    result = run(tmp_path, PROGRAM, *entry_points)
    check(result, str(PACKAGES / 'nova/__init__.py'))


def test_driver_loads_into_a_nova_in_another_path_entry(
    tmp_path: pathlib.Path, entry_points: list[pathlib.Path]
) -> None:
    tree = tmp_path / 'src' / 'nova'
    tree.mkdir(parents=True)
    (tree / 'nova').symlink_to(PACKAGES / 'nova')
    result = run(tmp_path, PROGRAM, tree, *entry_points)
    check(result, str(tree / 'nova/__init__.py'))


EDITABLE = """
import sys, importlib.util, pathlib
import importlib.machinery

class Editable:
    '''As setuptools maps an editable package.'''

    def find_spec(self, fullname, path=None, target=None):
        if fullname == 'nova':
            init = pathlib.Path(EDITABLE_NOVA) / '__init__.py'
            return importlib.util.spec_from_file_location(
                'nova', init, submodule_search_locations=[EDITABLE_NOVA])
        return None

sys.meta_path.insert(0, Editable())
"""


def test_driver_loads_into_an_editable_nova(
    tmp_path: pathlib.Path, entry_points: list[pathlib.Path]
) -> None:
    tree = tmp_path / 'checkout' / 'nova'
    tree.parent.mkdir()
    tree.symlink_to(PACKAGES / 'nova')
    finder = f'EDITABLE_NOVA = {str(tree)!r}\n' + EDITABLE
    result = run(tmp_path, finder + PROGRAM, *entry_points)
    check(result, str(tree / '__init__.py'))


def test_fallback_command_needs_no_entry_point(
    tmp_path: pathlib.Path,
) -> None:
    program = (
        PROGRAM.replace('os_vif.initialize()', '')
        .replace('import os_vif', 'from p2pcs_nova.virt import plugin')
        .replace('nova_modules = {', 'plugin.install(); nova_modules = {')
    )
    result = run(tmp_path, program, ROOT)
    check(result, str(PACKAGES / 'nova/__init__.py'))


def test_without_the_plugin_nova_says_what_is_missing(
    tmp_path: pathlib.Path,
) -> None:
    program = PROGRAM.replace('os_vif.initialize()', '')
    result = run(tmp_path, program, ROOT)
    assert result.returncode == 1
    assert 'No module named' in result.stderr
    assert 'nova.virt.p2pcs' in result.stderr
