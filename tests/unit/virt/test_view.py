# SPDX-License-Identifier: Apache-2.0
"""What the driver last heard, with polls and requests interleaved."""

from __future__ import annotations

import pytest

from p2pcs_nova import wire
from p2pcs_nova.virt import view
from tests.unit.virt import test_inventory

State = wire.InstanceState
ONE = '00000000-0000-4000-8000-000000000001'
TWO = '00000000-0000-4000-8000-000000000002'
SUMMARY = test_inventory.make_summary()


def make_placed(uuid: str, state: State) -> wire.Placed:
    return wire.Placed(
        status=wire.InstanceStatus(
            uuid, wire.Counter(1, 1), 'gold', state, wire.Capacity()
        ),
        peer='0' * 32,
        peer_name='pc1',
        reachable=True,
    )


def make_placements(*placed: wire.Placed) -> wire.Placements:
    return wire.Placements('gold', placed, 1)


@pytest.fixture
def known() -> view.View:
    """A view that knows one running instance."""
    found = view.View()
    found.take(
        found.mark(),
        SUMMARY,
        make_placements(make_placed(ONE, State.RUNNING)),
        100.0,
    )
    return found


def test_poll_tells_what_changed(known: view.View) -> None:
    stopped = make_placed(ONE, State.STOPPED)
    [change] = known.take(
        known.mark(), SUMMARY, make_placements(stopped), 101.0
    )
    assert change.uuid == ONE
    assert change.before.status.state is State.RUNNING
    assert change.after == known.get(ONE) == stopped


def test_new_and_vanished_instances_are_no_change(known: view.View) -> None:
    two = make_placed(TWO, State.RUNNING)
    assert known.take(known.mark(), SUMMARY, make_placements(two), 1.0) == ()
    assert known.get(ONE) is None
    assert known.get(TWO) == two


def test_poll_that_began_before_a_request_does_not_undo_it(
    known: view.View,
) -> None:
    mark = known.mark()
    known.put(make_placed(ONE, State.STOPPED))
    old = make_placements(make_placed(ONE, State.RUNNING))
    assert known.take(mark, SUMMARY, old, 1.0) == ()
    found = known.get(ONE)
    assert found is not None
    assert found.status.state is State.STOPPED
    assert known.mark() != mark


def test_poll_that_began_before_a_destroy_does_not_undo_it(
    known: view.View,
) -> None:
    mark = known.mark()
    known.forget(ONE)
    old = make_placements(make_placed(ONE, State.RUNNING))
    known.take(mark, SUMMARY, old, 1.0)
    assert known.get(ONE) is None


def test_poll_that_began_after_a_request_counts(known: view.View) -> None:
    known.put(make_placed(ONE, State.STOPPED))
    new = make_placed(ONE, State.RUNNING)
    [change] = known.take(known.mark(), SUMMARY, make_placements(new), 1.0)
    assert change.after == known.get(ONE) == new


def test_view_ages(known: view.View) -> None:
    assert known.is_fresh(114.9, 15.0)
    assert not known.is_fresh(115.0, 15.0)
    assert not view.View().is_fresh(0.0, 15.0)
    assert view.View().summary() is None
    assert known.summary() == SUMMARY
