# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from devstack.lab import waiting
from devstack.lab.errors import LabError, Stopped
from devstack.lab.plan import Plan
from devstack.lab.progress import Progress


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(out: io.StringIO) -> Iterator[Progress]:
    progress = Progress(out)
    yield progress
    progress.close()
    waiting.stopping.clear()


def test_step_begins_after_those_it_comes_after(progress: Progress) -> None:
    done: list[str] = []
    plan = Plan()
    plan.add('floor', lambda: done.append('floor'))
    plan.add('roof', lambda: done.append('roof'), 'floor')
    plan.add('smoke', lambda: done.append('smoke'), 'roof', 'floor')
    plan.run(progress)
    assert done == ['floor', 'roof', 'smoke']


def test_independent_steps_run_at_once(progress: Progress) -> None:
    meeting = threading.Barrier(2, timeout=10)
    plan = Plan()
    plan.add('left', lambda: _meet(meeting))
    plan.add('right', lambda: _meet(meeting))
    plan.run(progress)


def _meet(barrier: threading.Barrier) -> None:
    barrier.wait()


def test_each_step_is_named_with_its_seconds(
    progress: Progress, out: io.StringIO
) -> None:
    plan = Plan()
    plan.add('floor', lambda: None)
    plan.run(progress)
    assert out.getvalue() == '   0.0 s  floor\n'


def test_failure_ends_waits_and_what_comes_after(
    progress: Progress, out: io.StringIO
) -> None:
    begun: list[str] = []

    def fail() -> None:
        raise LabError('no cement')

    plan = Plan()
    plan.add('wait', lambda: waiting.wait_until(lambda: False, 'rain', 60))
    plan.add('fail', fail)
    plan.add('after', lambda: begun.append('after'), 'fail')
    with pytest.raises(LabError, match='no cement'):
        plan.run(progress)
    assert begun == []
    assert 'FAILED: fail' in out.getvalue()


def test_cause_is_told_rather_than_the_wait_it_ended(
    progress: Progress,
) -> None:
    stopped = threading.Event()

    def given_up() -> None:
        stopped.set()
        raise Stopped('rain: given up')

    def fail() -> None:
        stopped.wait(10)
        raise LabError('no cement')

    plan = Plan()
    plan.add('wait', given_up)
    plan.add('fail', fail)
    with pytest.raises(LabError, match='no cement'):
        plan.run(progress)


@pytest.mark.parametrize(
    ('name', 'after'), [('floor', ()), ('roof', ('cellar',))]
)
def test_step_twice_or_after_unknown_is_refused(
    name: str, after: tuple[str, ...]
) -> None:
    plan = Plan()
    plan.add('floor', lambda: None)
    with pytest.raises(ValueError, match=name):
        plan.add(name, lambda: None, *after)
