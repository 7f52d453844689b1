# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from p2pcs_nova.supervisor import fitness
from p2pcs_nova.supervisor.fitness import FAILING_S, STEADY_S, Fitness


def test_slice_waits_twice_as_long_each_time_and_others_do_not() -> None:
    fit, now, pauses = Fitness(), 0.0, []
    assert fit.may_start('gold', now)
    for _ in range(7):
        fit.ended('gold', 0.2, now)
        began = now
        while not fit.may_start('gold', now):
            assert fit.may_start('silver', now)
            now += 1.0
        pauses.append(now - began)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    fit.ended('gold', STEADY_S, now)
    assert fit.may_start('gold', now + fitness.RETRY_FIRST_S)


@pytest.mark.parametrize(
    ('lives', 'is_failing'),
    [
        ([0.2, 0.2], False),
        ([0.2, 0.2, 0.2], True),
        ([0.2, 0.2, STEADY_S, 0.2], False),
    ],
)
def test_gateway_fails_that_keeps_no_nova_compute(
    lives: list[float], is_failing: bool
) -> None:
    fit = Fitness()
    for name, lived_s in zip('abcd', lives, strict=False):
        fit.ended(name, lived_s, 0.0)
    assert fit.is_failing([], 1.0) is is_failing
    assert fit.is_failing([1.0], 1.0) is is_failing
    assert not fit.is_failing([1.0, STEADY_S], 1.0)
    assert not fit.is_failing([], FAILING_S)
