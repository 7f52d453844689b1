# SPDX-License-Identifier: Apache-2.0
"""A nova-compute acts by its term, and ends with it."""

from __future__ import annotations

import pathlib

import msgspec
import pytest

from p2pcs_nova import wire
from p2pcs_nova.virt.tenure import BEAT, EXIT_CODE, NoTerm, Tenure
from tests.support.waiting import until


class Machine:
    """A clock, a file, and the ends of a process."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.now = 100.0
        self.ends: list[int] = []

    def say(self, n: int, until_s: float, slice_: str = 'gold') -> None:
        held = wire.HeldTerm(slice_, wire.Counter(1, n), until_s)
        self.path.write_bytes(msgspec.json.encode(held))

    def begin(self) -> Tenure:
        return Tenure(self.path, 'gold', lambda: self.now, self.ends.append)


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> Machine:
    return Machine(tmp_path / 'term')


def test_it_acts_as_long_as_its_term_is_renewed(machine: Machine) -> None:
    machine.say(5, 108.0)
    tenure = machine.begin()
    machine.now = 107.0
    machine.say(5, 115.0)
    machine.now = 114.0
    assert tenure.command() == wire.Command('gold', wire.Counter(1, 5))
    assert machine.ends == []


def test_it_ends_before_it_acts_when_nobody_has_renewed(
    machine: Machine,
) -> None:
    machine.say(5, 108.0)
    tenure = machine.begin()
    machine.now = 108.0
    tenure.command()
    assert machine.ends == [EXIT_CODE]


def test_file_that_is_gone_or_torn_counts_as_no_renewal(
    machine: Machine,
) -> None:
    machine.say(5, 108.0)
    tenure = machine.begin()
    machine.path.write_bytes(b'{"slice": "go')
    tenure.look()
    machine.path.unlink()
    tenure.look()
    assert machine.ends == []
    machine.now = 109.0
    tenure.look()
    assert machine.ends == [EXIT_CODE]


def test_it_gives_signs_of_life(machine: Machine) -> None:
    machine.say(5, 108.0)
    machine.begin().start()
    until((machine.path.parent / BEAT).exists)


def test_it_ends_when_another_term_has_begun(machine: Machine) -> None:
    machine.say(5, 108.0)
    tenure = machine.begin()
    machine.say(6, 116.0)
    tenure.look()
    assert machine.ends == [EXIT_CODE]


def test_it_ends_when_it_is_told_so(machine: Machine) -> None:
    machine.say(5, 108.0)
    machine.begin().is_over('a PC has seen a higher one')
    assert machine.ends == [EXIT_CODE]


@pytest.mark.parametrize(
    ('slice_', 'until_s'), [('silver', 108.0), ('gold', 100.0)]
)
def test_without_a_term_of_its_slice_it_does_not_begin(
    machine: Machine, slice_: str, until_s: float
) -> None:
    with pytest.raises(NoTerm):
        machine.begin()
    machine.say(5, until_s, slice_)
    with pytest.raises(NoTerm):
        machine.begin()
