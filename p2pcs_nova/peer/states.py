# SPDX-License-Identifier: Apache-2.0
"""The state of an instance, from what was stored and what is seen. Pure."""

from __future__ import annotations

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.hypervisor import Domain, Power
from p2pcs_nova.peer.store import Entry, Stage

State = wire.InstanceState


def find_state(
    entry: Entry, domain: Domain | None, reached: bool, saved: bool = False
) -> tuple[State, str]:
    """State and a word on it.

    :param domain: what the hypervisor last said of it
    :param reached: whether the hypervisor has said anything since the
        daemon started
    :param saved: whether its memory is on the disk
    """
    if entry.stage is Stage.BUILDING:
        return State.BUILDING, ''
    if entry.stage is Stage.QUARANTINED:
        return State.QUARANTINED, (
            f'taken away after {entry.left_s / DAY_S:.1f} more days'
        )
    if entry.stage in (Stage.UNDOING, Stage.FAILED):
        return State.FAILED, entry.detail
    if not reached:
        return State.UNKNOWN, 'libvirt has not answered yet'
    if domain is None or domain.mark.epoch != entry.right.epoch:
        if saved:
            return State.SUSPENDED, ''
        if entry.wish is State.STOPPED:
            return State.STOPPED, ''
        return State.CRASHED, 'its domain is gone'
    return _power_to_state(domain, entry.wish, saved)


def _power_to_state(
    domain: Domain, wish: State, saved: bool
) -> tuple[State, str]:
    """The state of a built instance whose domain is there."""
    if domain.power is Power.RUNNING:
        return State.RUNNING, domain.detail
    if domain.power is Power.PAUSED:
        if wish is State.PLUGGED:
            return State.PLUGGED, domain.detail
        return State.PAUSED, domain.detail
    if domain.power is Power.COLD and wish is State.RUNNING:
        return State.WAITING, 'off since this PC lost power'
    if saved:
        return State.SUSPENDED, ''
    if domain.power is Power.CRASHED and wish is not State.STOPPED:
        return State.CRASHED, domain.detail
    return State.STOPPED, ''


DAY_S = 86400.0
WISHES = {
    wire.Action.START: State.RUNNING,
    wire.Action.STOP: State.STOPPED,
    wire.Action.REBOOT_SOFT: State.RUNNING,
    wire.Action.REBOOT_HARD: State.RUNNING,
    wire.Action.PAUSE: State.PAUSED,
    wire.Action.UNPAUSE: State.RUNNING,
    wire.Action.SUSPEND: State.SUSPENDED,
    wire.Action.RESUME: State.RUNNING,
}
"""What each action of a user asks for."""

_OFF = {State.STOPPED, State.CRASHED, State.SUSPENDED, State.WAITING}
_ALLOWED = {
    wire.Action.START: {State.PLUGGED, State.RUNNING, *_OFF},
    wire.Action.STOP: {State.PLUGGED, State.RUNNING, State.PAUSED, *_OFF},
    wire.Action.REBOOT_SOFT: {State.RUNNING},
    wire.Action.REBOOT_HARD: {State.RUNNING, State.PAUSED, *_OFF},
    wire.Action.PAUSE: {State.RUNNING, State.PAUSED},
    wire.Action.UNPAUSE: {State.RUNNING, State.PAUSED},
    wire.Action.SUSPEND: {State.RUNNING, State.SUSPENDED},
    wire.Action.RESUME: {State.RUNNING, State.SUSPENDED},
}
_STARTS = {wire.Action.START, wire.Action.RESUME}


def check_action(entry: Entry, state: State, action: wire.Action) -> None:
    """Whether the action may be done in this state.

    :raises WrongState: it may not
    """
    if state in _ALLOWED[action]:
        return
    # A start that was stored but not carried out may be repeated.
    half_started = state is State.PAUSED and entry.wish is State.RUNNING
    if action in _STARTS and half_started:
        return
    raise errors.WrongState(f'{action} is not possible: it is {state}')
