# SPDX-License-Identifier: Apache-2.0
"""The user's machine is left alone.  Last of its folder: the lab goes."""

from __future__ import annotations

import os

import pytest

from devstack.lab import before, machines, network
from devstack.lab.layout import HOST_CABLE
from tests.support import lab as support
from tests.support.lab import Lab
from tests.support.surroundings import Surroundings, lab_processes, look

pytestmark = pytest.mark.lab


def test_nothing_is_started_or_listened_on_outside_the_lab(
    lab: Lab, surroundings: Surroundings
) -> None:
    now = look(lab.layout)
    assert now.sockets - surroundings.sockets == set()
    assert now.units == surroundings.units
    assert now.mounts - surroundings.mounts == set()
    assert now.namespaces == surroundings.namespaces
    assert now.links - surroundings.links <= {HOST_CABLE}


def test_installing_has_started_enabled_and_booted_nothing(
    lab: Lab,
) -> None:
    """As against the moment when ``make test`` began."""
    try:
        noted = before.noted(lab.layout)
    except FileNotFoundError:
        pytest.skip('these tests were not started by "make test"')
    now = before.look()
    assert set(now.ports) <= set(noted.ports)
    assert now.units == noted.units
    assert now.kernels == noted.kernels
    assert now.policy == noted.policy


def test_all_of_the_lab_is_inside_its_machines(lab: Lab) -> None:
    """It has a network namespace of its own, whatever it listens on."""
    own = os.readlink('/proc/self/ns/net')
    for machine in machines.all_machines():
        if machine.lab == lab.layout.lab:
            assert os.readlink(f'/proc/{machine.init}/ns/net') != own
            assert os.readlink(f'/proc/{machine.init}/ns/mnt') != (
                os.readlink('/proc/self/ns/mnt')
            )


def test_down_leaves_nothing(lab: Lab, surroundings: Surroundings) -> None:
    if surroundings.lab_is_up:
        pytest.skip('the lab was up before: it stays')
    assert lab_processes(lab.layout)
    support.command('down')
    assert not lab.layout.lab.exists()
    assert lab_processes(lab.layout) == []
    assert HOST_CABLE not in network.interfaces(os.getpid())
    assert look(lab.layout) == surroundings
    # Down again does nothing, and says so by its success.
    support.command('down')
