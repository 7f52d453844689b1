# SPDX-License-Identifier: Apache-2.0
"""``make test`` and its smaller and larger sisters."""

from __future__ import annotations

import dataclasses
import functools
import os

from devstack.lab import packages, up, venvs
from devstack.lab.layout import Layout
from devstack.lab.plan import Plan


@dataclasses.dataclass(frozen=True)
class Suite:
    """A choice of tests.

    :param machines: whether real PCs take part
    :param packages: profiles of bindep.txt that it needs beside theirs
    """

    selection: tuple[str, ...]
    machines: bool
    packages: tuple[str, ...] = ()


BROWSER = 'browser'
WHOLE_DEBIAN = 'slow'

SUITES = {
    'test': Suite(
        ('-m', 'not slow', 'tests'),
        machines=True,
        packages=(BROWSER,),
    ),
    'test-all': Suite(
        ('tests',),
        machines=True,
        packages=(BROWSER, WHOLE_DEBIAN),
    ),
    'test-fast': Suite(
        (
            '-n', '2',
            '-m', 'not lab and not libvirt and not etcd and not slow',
            '--ignore', 'tests/functional/daemon',
            'tests/unit', 'tests/simulation', 'tests/functional',
        ),
        machines=False,
    ),
}  # fmt: skip


def prepare(plan: Plan, layout: Layout, suite: Suite) -> None:
    """Install what a suite needs and the machine has not."""
    if suite.machines:
        up.prepare(plan, layout, *suite.packages)
        up.prepare_dashboard(plan, layout)
        return
    debian = plan.add(
        up.BUILD_TOOLS, lambda: packages.install(layout, {'build'})
    )
    plan.add(
        up.CLOUD_VENV,
        functools.partial(venvs.ensure, layout, venvs.CLOUD),
        debian,
    )


def run(layout: Layout, suite: Suite) -> None:
    """Become pytest: its closing line is ours."""
    pytest = str(layout.cloud_venv / 'bin' / 'pytest')
    os.chdir(layout.root)
    os.execv(pytest, [pytest, '-q', *suite.selection])
