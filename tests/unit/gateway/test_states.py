# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from p2pcs_nova import wire
from p2pcs_nova.gateway import states, store
from tests.support import fake_pcs, gateways

STATE = wire.InstanceState
PEER = 'a' * 32
EPOCH = wire.Counter(1, 5)
OLDER = wire.Counter(1, 4)
SETTLE_S = 5.0


def make_row(
    state: store.RowState = store.RowState.PLACED,
) -> store.InstanceRow:
    spec = fake_pcs.spawn_request(0, wire.Capacity(1, 1, 1)).spec
    right = wire.RunRight(spec.instance, EPOCH, PEER, 'all', spec.image.digest)
    return store.InstanceRow(
        spec.instance,
        'all',
        PEER,
        'pc1',
        EPOCH,
        state,
        gateways.sign(right),
        spec,
    )


ROW = make_row()


class Heard:
    """States, and how often somebody was told of a change."""

    def __init__(self) -> None:
        self.told = 0
        self.states = states.States(SETTLE_S, self._tell)
        self.states.begin(wire.Counter(1, 3))

    def _tell(self) -> None:
        self.told += 1

    def answer(
        self, state: STATE, now: float, epoch: wire.Counter = EPOCH
    ) -> None:
        status = wire.InstanceStatus(
            ROW.instance, epoch, 'all', state, wire.Capacity()
        )
        self.states.answered(ROW, status, now)

    def record(
        self,
        state: STATE,
        now: float,
        *,
        epoch: wire.Counter = EPOCH,
        peer: str = PEER,
        part: str = 'instances/0',
    ) -> None:
        record = wire.InstancesRecord(((ROW.instance, epoch, state),))
        self.states.recorded(peer, part, record, {ROW.instance: ROW}, now)

    def state(self, now: float) -> STATE:
        return self.states.word(ROW, now).state


@pytest.mark.parametrize(
    ('row_state', 'expected'),
    [
        (store.RowState.PLACING, STATE.BUILDING),
        (store.RowState.PLACED, STATE.UNKNOWN),
    ],
)
def test_nothing_heard_is_not_a_state(
    row_state: store.RowState, expected: STATE
) -> None:
    word = Heard().states.word(make_row(row_state), 0.0)
    assert word.state is expected


def test_record_counts_if_no_answer_came() -> None:
    heard = Heard()
    heard.record(STATE.RUNNING, 1.0)
    assert heard.state(1.0) is STATE.RUNNING


@pytest.mark.parametrize(
    'stray',
    [
        {'epoch': OLDER},
        {'peer': 'b' * 32},
    ],
    ids=['epoch', 'peer'],
)
def test_word_of_another_epoch_or_pc_counts_nothing(
    stray: dict[str, str],
) -> None:
    heard = Heard()
    heard.answer(STATE.RUNNING, 0.0)
    before = heard.told
    heard.record(STATE.STOPPED, 100.0, **stray)  # type: ignore[arg-type]
    heard.answer(STATE.STOPPED, 101.0, epoch=OLDER)
    assert heard.state(200.0) is STATE.RUNNING
    assert heard.told == before


def test_record_written_before_an_answer_does_not_undo_it() -> None:
    heard = Heard()
    heard.record(STATE.PLUGGED, 0.0)
    heard.answer(STATE.RUNNING, 1.0)
    heard.record(STATE.PLUGGED, 2.0)
    heard.record(STATE.RUNNING, 3.0)
    assert heard.state(3.0) is STATE.RUNNING
    assert heard.state(100.0) is STATE.RUNNING


def test_record_that_contradicts_an_answer_counts_after_the_settling() -> None:
    heard = Heard()
    heard.answer(STATE.RUNNING, 1.0)
    revision = heard.states.revision('all', 1.0)
    heard.record(STATE.CRASHED, 2.0)
    assert heard.state(5.9) is STATE.RUNNING
    assert heard.states.deadline('all') == 1.0 + SETTLE_S
    assert heard.states.revision('all', 5.9) == revision
    assert heard.state(6.0) is STATE.CRASHED
    assert heard.states.revision('all', 6.0) > revision


def test_instance_that_no_record_names_is_not_gone() -> None:
    heard = Heard()
    heard.record(STATE.RUNNING, 1.0)
    rows = {ROW.instance: ROW}
    heard.states.recorded(
        PEER, 'instances/0', wire.InstancesRecord(), rows, 20.0
    )
    assert heard.state(21.0) is STATE.RUNNING
    heard.record(STATE.PAUSED, 22.0, part='instances/1')
    assert heard.state(23.0) is STATE.PAUSED


def test_revision_grows_with_each_change_only() -> None:
    heard = Heard()
    seen = [heard.states.revision('all', 0.0)]
    heard.answer(STATE.RUNNING, 0.0)
    seen.append(heard.states.revision('all', 0.0))
    heard.answer(STATE.RUNNING, 1.0)
    assert heard.states.revision('all', 1.0) == seen[-1]
    heard.answer(STATE.PAUSED, 2.0)
    seen.append(heard.states.revision('all', 2.0))
    assert seen == sorted(set(seen))
    assert heard.states.revision('other', 2.0) == seen[0]


def test_revisions_of_a_later_term_are_higher() -> None:
    early, late = Heard(), Heard()
    late.states.begin(wire.Counter(1, 4))
    for _ in range(100):
        early.states.touch('all')
    assert late.states.revision('all', 0.0) > early.states.revision('all', 0.0)


def test_last_word_stays_when_its_pc_leaves() -> None:
    heard = Heard()
    heard.record(STATE.RUNNING, 1.0)
    heard.states.drop_peer(PEER, {ROW.instance: ROW})
    assert heard.state(2.0) is STATE.RUNNING
    heard.states.drop_peer(PEER, {})
    assert heard.state(2.0) is STATE.UNKNOWN
