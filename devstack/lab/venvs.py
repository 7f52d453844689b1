# SPDX-License-Identifier: Apache-2.0
"""The project's virtual environments, made once and again on change."""

from __future__ import annotations

import configparser
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shutil
import threading
from collections.abc import Callable

from devstack.lab.errors import LabError
from devstack.lab.layout import Layout
from devstack.lab.shell import run, run_logged

INTERPRETER = '/usr/bin/python3'
PIP_TIMEOUT_S = 1800.0
COMPILE_TIMEOUT_S = 600.0
HERE = pathlib.Path('devstack') / 'lab'
CONSTRAINTS = HERE / 'constraints.txt'
SETUP = pathlib.Path('setup.cfg')
INSTALLED_SECTIONS = ('metadata', 'files', 'extras', 'entry_points')
STAMP = '.p2pcs-stamp'
PROJECT = 'p2pcs-nova'
#: Building the project reads the whole folder of its source, and writes
#: beside it: nobody else writes there meanwhile.
source = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Venv:
    """What one virtual environment holds.

    :param arguments: to ``pip install``, from the project's root
    :param inputs: files that decide what is installed
    :param editable: whether the project itself is installed first; the
        arguments can then name its extras
    """

    name: str
    arguments: tuple[str, ...]
    inputs: tuple[pathlib.Path, ...]
    editable: bool = True


CLOUD = Venv(
    'cloud',
    ('-r', str(HERE / 'requirements.txt'), f'{PROJECT}[gateway,peer,test]'),
    (SETUP, CONSTRAINTS, HERE / 'requirements.txt'),
)
PEER = Venv('peer', (f'{PROJECT}[peer]',), (SETUP, CONSTRAINTS))


def stamp(venv: Venv, root: pathlib.Path) -> str:
    """Changes when the environment has to be made again."""
    digest = hashlib.sha256(repr((root, venv.arguments)).encode())
    for path in venv.inputs:
        text = (root / path).read_text()
        if path == SETUP:
            text = installed_part(text)
        digest.update(text.encode())
    return digest.hexdigest()


def installed_part(setup: str) -> str:
    """What ``setup.cfg`` says about installing; the rest is for tools."""
    parser = configparser.RawConfigParser()
    parser.read_string(setup)
    return repr(
        [
            (name, parser.items(name))
            for name in INSTALLED_SECTIONS
            if parser.has_section(name)
        ]
    )


def ensure(
    layout: Layout, venv: Venv, finish: Callable[[], None] | None = None
) -> None:
    """Have the environment as its inputs ask for.

    :param finish: what is still to be done when pip has installed
    :raises LabError: pip failed; the next run tries again
    """
    folder = layout.root / '.venvs' / venv.name
    wanted = stamp(venv, layout.root)
    mark = folder / STAMP
    if mark.exists() and mark.read_text() == wanted and _works(folder):
        return
    mark.unlink(missing_ok=True)
    if not _works(folder):
        shutil.rmtree(folder, ignore_errors=True)
        run([INTERPRETER, '-m', 'venv', str(folder)], timeout_s=60.0)
    try:
        if venv.editable:
            with source:
                _pip(layout, venv, '--no-deps', '--editable', '.')
        _pip(layout, venv, *venv.arguments)
        _compile(folder)
    except LabError as error:
        raise LabError(f'virtual environment {venv.name}: {error}') from error
    if finish is not None:
        finish()
    mark.write_text(wanted)


def _pip(layout: Layout, venv: Venv, *arguments: str) -> None:
    run_logged(
        [
            str(layout.root / '.venvs' / venv.name / 'bin' / 'pip'),
            'install',
            '--disable-pip-version-check',
            '--no-compile',
            '--constraint',
            str(CONSTRAINTS),
            *arguments,
        ],
        layout.cache / 'lab' / f'pip-{venv.name}.log',
        timeout_s=PIP_TIMEOUT_S,
        env={**os.environ, 'PYTHONWARNINGS': 'ignore'},
        cwd=layout.root,
    )


def _compile(folder: pathlib.Path) -> None:
    """Compile what will run, on all cores; pip would use one for all.

    What was written for another Python does not compile, nor is it run.
    """
    with contextlib.suppress(LabError):
        run(
            [
                str(folder / 'bin' / 'python'), '-m', 'compileall', '-qq',
                '-j', '0', '-x', r'/tests?/', str(folder / 'lib'),
            ],
            timeout_s=COMPILE_TIMEOUT_S,
        )  # fmt: skip


def _works(folder: pathlib.Path) -> bool:
    try:
        run([str(folder / 'bin' / 'python'), '-c', ''], timeout_s=30.0)
        run([str(folder / 'bin' / 'pip'), '--version'], timeout_s=30.0)
    except LabError:
        return False
    return True
