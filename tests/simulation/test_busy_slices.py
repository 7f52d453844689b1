# SPDX-License-Identifier: Apache-2.0
"""A day of claims on a virtual clock; the large one is a benchmark."""

from __future__ import annotations

import pathlib

import pytest

from p2pcs_nova.policy.document import Placing
from tests.conftest import Figure
from tests.support import busy_slices

GOAL = 0.12
"""Sparrow (Ousterhout et al. 2013) is so far behind an ideal scheduler."""


def test_nothing_is_promised_twice_while_pcs_come_and_go(
    tmp_path: pathlib.Path, figure: Figure
) -> None:
    """It is looked for after everything that a PC does."""
    plan = busy_slices.Plan(
        slices=2, pcs=15, servers=120, load=1.0, office=True
    )
    outcome = busy_slices.play(plan, 1, tmp_path)
    figure('claims, office: that met others', 100 * outcome.conflicts, '%')
    assert outcome.promised_twice == 0
    assert outcome.served + outcome.refused > 200
    assert min(outcome.served, outcome.refused, outcome.deleted) > 20
    assert outcome.claims['held'] > 50


@pytest.mark.slow
def test_nothing_is_promised_twice_among_ten_thousand_pcs(
    tmp_path: pathlib.Path, figure: Figure
) -> None:
    """An office of a hundred slices, from one midnight to the next."""
    plan = busy_slices.Plan(
        slices=100, pcs=100, servers=300, load=0.7, office=True
    )
    outcome = busy_slices.play(plan, 1, tmp_path)
    again = outcome.claims.total() / outcome.served
    figure('claims, 10,000 PCs: for a server that found a place', again, '')
    figure('claims, 10,000 PCs: that met others', 100 * outcome.conflicts, '%')
    assert outcome.promised_twice == 0
    assert outcome.served > 20_000


@pytest.mark.parametrize('placing', Placing)
def test_slice_in_which_more_is_wanted_is_about_as_full_as_can_be(
    tmp_path: pathlib.Path, figure: Figure, placing: Placing
) -> None:
    plan = busy_slices.Plan(
        slices=1, pcs=20, servers=240, load=1.4, placing=placing
    )
    outcome = busy_slices.play(plan, 1, tmp_path)
    behind = 100 * outcome.behind_ideal
    figure(f'claims, {placing}: less in use than ideal', behind, '%')
    assert outcome.refused > 20
    assert outcome.behind_ideal <= GOAL
