# SPDX-License-Identifier: Apache-2.0
"""Who is let in, and who would be too many."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova.transport.limits import Admission, Limits

LIMITS = Limits(connections=4, connections_per_address=2)


def test_one_address_does_not_take_all() -> None:
    admission = Admission(LIMITS)
    with contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(admission.admit('a')) for _ in range(3)]
        assert greedy == [True, True, False]
        assert stack.enter_context(admission.admit('b'))
    assert admission.turned_away == 1


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from('abcd')), max_size=60)
)
def test_limits_hold_and_places_come_back(
    steps: list[tuple[bool, str]],
) -> None:
    admission = Admission(LIMITS)
    inside: list[tuple[str, contextlib.ExitStack]] = []
    for come, address in steps:
        if not come and inside:
            inside.pop(0)[1].close()
            continue
        stack = contextlib.ExitStack()
        if stack.enter_context(admission.admit(address)):
            inside.append((address, stack))
        else:
            stack.close()
        held = [name for name, _ in inside]
        assert len(held) <= LIMITS.connections
        assert all(held.count(name) <= 2 for name in 'abcd')
    for _, stack in inside:
        stack.close()
    with admission.admit('a') as admitted:
        assert admitted
