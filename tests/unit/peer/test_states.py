# SPDX-License-Identifier: Apache-2.0
"""The state of an instance, and what may be done in it."""

import msgspec
import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.domain import Mark
from p2pcs_nova.peer.hypervisor import Domain, Power
from p2pcs_nova.peer.states import check_action, find_state
from p2pcs_nova.peer.store import Entry, Stage
from tests.support import one_peer

State = wire.InstanceState
SPEC = one_peer.spec_of(one_peer.image_of(b'x'))
EPOCH = wire.Counter(1, 1)
BUILT = Entry(
    wire.RunRight(SPEC.instance, EPOCH, 'a' * 32, 'gold', SPEC.image.digest),
    wire.Signed(b'', 'b' * 32, b''),
    SPEC,
    Stage.BUILT,
)


def entry(wish: State, stage: Stage = Stage.BUILT) -> Entry:
    return msgspec.structs.replace(BUILT, wish=wish, stage=stage)


def domain(power: Power, epoch: wire.Counter = EPOCH) -> Domain:
    return Domain(Mark(SPEC.instance, epoch, 'gold', 'a' * 32), power)


@pytest.mark.parametrize(
    ('wish', 'power', 'state'),
    [
        (State.PLUGGED, Power.PAUSED, State.PLUGGED),
        (State.RUNNING, Power.PAUSED, State.PAUSED),
        (State.PAUSED, Power.PAUSED, State.PAUSED),
        (State.RUNNING, Power.RUNNING, State.RUNNING),
        (State.STOPPED, Power.RUNNING, State.RUNNING),
        (State.RUNNING, Power.OFF, State.STOPPED),
        (State.RUNNING, Power.CRASHED, State.CRASHED),
        (State.STOPPED, Power.CRASHED, State.STOPPED),
        (State.RUNNING, Power.COLD, State.WAITING),
        (State.STOPPED, Power.COLD, State.STOPPED),
        (State.PAUSED, Power.COLD, State.STOPPED),
        (State.PLUGGED, Power.COLD, State.STOPPED),
    ],
)
def test_state_of_a_built_instance(
    wish: State, power: Power, state: State
) -> None:
    assert find_state(entry(wish), domain(power), True)[0] is state


def test_silent_libvirt_makes_a_state_unknown_not_stopped() -> None:
    assert find_state(entry(State.RUNNING), None, False)[0] is State.UNKNOWN


def test_vanished_domain_is_a_crash_unless_it_was_stopped() -> None:
    assert find_state(entry(State.RUNNING), None, True)[0] is State.CRASHED
    assert find_state(entry(State.STOPPED), None, True)[0] is State.STOPPED


def test_domain_of_another_epoch_is_not_this_one() -> None:
    other = domain(Power.RUNNING, wire.Counter(1, 2))
    assert find_state(entry(State.RUNNING), other, True)[0] is State.CRASHED


def test_stage_hides_the_domain_until_it_is_built() -> None:
    running = domain(Power.RUNNING)
    for stage, state in (
        (Stage.BUILDING, State.BUILDING),
        (Stage.UNDOING, State.FAILED),
        (Stage.FAILED, State.FAILED),
        (Stage.QUARANTINED, State.QUARANTINED),
    ):
        found = find_state(entry(State.PLUGGED, stage), running, True)
        assert found[0] is state


@pytest.mark.parametrize(
    ('action', 'allowed'),
    [
        ('start', 'plugged running suspended stopped crashed waiting'),
        (
            'stop',
            'plugged running paused suspended stopped crashed waiting',
        ),
        ('reboot-soft', 'running'),
        (
            'reboot-hard',
            'running paused suspended stopped crashed waiting',
        ),
        ('pause', 'running paused'),
        ('unpause', 'running paused'),
        ('suspend', 'running suspended'),
        ('resume', 'running suspended'),
    ],
)
def test_actions_are_refused_in_all_other_states(
    action: str, allowed: str
) -> None:
    for state in State:
        if state in allowed.split():
            check_action(entry(State.PAUSED), state, wire.Action(action))
        else:
            with pytest.raises(errors.WrongState, match=state):
                check_action(entry(State.PAUSED), state, wire.Action(action))


def test_start_that_was_cut_short_may_be_repeated() -> None:
    check_action(entry(State.RUNNING), State.PAUSED, wire.Action.START)
    check_action(entry(State.RUNNING), State.PAUSED, wire.Action.RESUME)


@pytest.mark.parametrize('wish', [State.SUSPENDED, State.RUNNING])
def test_guest_that_is_off_with_its_memory_saved_is_suspended(
    wish: State,
) -> None:
    for seen in (domain(Power.OFF), domain(Power.CRASHED), None):
        found, _ = find_state(entry(wish), seen, True, saved=True)
        assert found is State.SUSPENDED
    for power, state in (
        (Power.RUNNING, State.RUNNING),
        (Power.PAUSED, State.PAUSED),
    ):
        found, _ = find_state(entry(wish), domain(power), True, saved=True)
        assert found is state
