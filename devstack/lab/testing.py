# SPDX-License-Identifier: Apache-2.0
"""``make test`` and its smaller and larger sisters."""

from __future__ import annotations

import dataclasses
import functools
import os

from devstack.lab import packages, venvs
from devstack.lab.layout import Layout
from devstack.lab.plan import Plan


@dataclasses.dataclass(frozen=True)
class Suite:
    """A choice of tests.

    :param profiles: Debian packages it needs, by bindep's profiles
    :param machines: whether real PCs take part
    """

    selection: tuple[str, ...]
    profiles: frozenset[str]
    machines: bool


SUITES = {
    'test': Suite(
        ('-m', 'not slow', 'tests'),
        frozenset({'build', 'peer', 'cloud', 'browser'}),
        machines=True,
    ),
    'test-all': Suite(
        ('tests',),
        frozenset({'build', 'peer', 'cloud', 'browser'}),
        machines=True,
    ),
    'test-fast': Suite(
        (
            '-m', 'not lab and not libvirt and not slow',
            'tests/unit', 'tests/simulation', 'tests/functional',
        ),
        frozenset({'build'}),
        machines=False,
    ),
}  # fmt: skip


def prepare(plan: Plan, layout: Layout, suite: Suite) -> None:
    """Install what a suite needs and the machine has not."""
    debian = plan.add(
        'Debian packages',
        lambda: packages.install(layout, set(suite.profiles)),
    )
    needed = [venvs.CLOUD, venvs.PEER] if suite.machines else [venvs.CLOUD]
    for venv in needed:
        plan.add(
            f'virtual environment {venv.name}',
            functools.partial(venvs.ensure, layout, venv),
            debian,
        )


def run(layout: Layout, suite: Suite) -> None:
    """Become pytest: its closing line is ours."""
    pytest = str(layout.cloud_venv / 'bin' / 'pytest')
    os.chdir(layout.root)
    os.execv(pytest, [pytest, '-q', *suite.selection])
