# SPDX-License-Identifier: Apache-2.0
"""Steps that wait for each other, as many at once as may be."""

from __future__ import annotations

import concurrent.futures
import graphlib
from collections.abc import Callable

from devstack.lab import waiting
from devstack.lab.errors import Stopped
from devstack.lab.progress import Progress

WORKERS = 12


class Plan:
    """A graph of named steps.

    A step begins as soon as those it comes after have ended. After the
    first failure nothing begins any more and waits are given up; running
    steps end, then the failure is raised.
    """

    def __init__(self) -> None:
        self._actions: dict[str, Callable[[], None]] = {}
        self._after: dict[str, tuple[str, ...]] = {}

    def add(self, name: str, action: Callable[[], None], *after: str) -> str:
        """Take in a step.

        :param after: names of steps that were added before
        :returns: the name, for the ``after`` of others
        """
        unknown = [other for other in after if other not in self._actions]
        if unknown or name in self._actions:
            raise ValueError(f'{name}: twice, or after unknown {unknown}')
        self._actions[name] = action
        self._after[name] = after
        return name

    def names(self) -> list[str]:
        """All steps, in an order that would do."""
        return list(graphlib.TopologicalSorter(self._after).static_order())

    def run(self, progress: Progress) -> None:
        """Carry out all steps; raises what the first failing one raised."""
        graph = graphlib.TopologicalSorter(self._after)
        graph.prepare()
        failure: BaseException | None = None
        futures: dict[concurrent.futures.Future[None], str] = {}
        pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
        try:
            while graph.is_active():
                if failure is None:
                    for name in graph.get_ready():
                        job = pool.submit(self._step, name, progress)
                        futures[job] = name
                if not futures:
                    break
                ended, _ = concurrent.futures.wait(
                    futures, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for job in ended:
                    graph.done(futures.pop(job))
                    failure = _worse(failure, job.exception())
                if failure is not None:
                    waiting.stopping.set()
        except KeyboardInterrupt:
            waiting.stopping.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        if failure is not None:
            raise failure

    def _step(self, name: str, progress: Progress) -> None:
        with progress.step(name):
            self._actions[name]()


def _worse(
    first: BaseException | None, second: BaseException | None
) -> BaseException | None:
    """The failure to tell: a cause rather than a wait that it ended."""
    if first is None or isinstance(first, Stopped):
        return second or first
    return first
