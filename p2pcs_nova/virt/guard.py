# SPDX-License-Identifier: Apache-2.0
"""The thread that carries Neutron's rules to the PCs of a slice.

Each round asks Neutron for the whole slice and tells a PC whatever it has
not been told yet.  Nothing is remembered but what was told: after a
restart everything is told once more, and PCs take what they have already
as done.  So no change is lost, whoever was down meanwhile; a PC out of
reach is told when it is back, and filters by what it stored until then.

The same round frees the addresses of deleted servers whose PCs have at
last destroyed them, or are not waited for any more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent import futures

from p2pcs_nova import errors, wire
from p2pcs_nova.client import local
from p2pcs_nova.virt import rules, view

LOG = logging.getLogger(__name__)

LOOK_S = 3.0
"""Between two rounds.  Bound: so old may rules be on a PC within reach."""
AT_ONCE = 8
"""PCs told at the same time: a frozen one delays few others."""

Told = tuple[wire.Counter, rules.Filters]
"""An epoch of an instance, and what its PC was told."""


class Guard:
    """Keeps the filters of one slice.

    :param client: the local daemon
    :param heard: knows which instances are within reach
    :param ask: Neutron's word on the slice; raises P2PcsError
    :param release: frees what this placeholder holds; raises P2PcsError
    """

    def __init__(
        self,
        client: local.LocalClient,
        slice_name: str,
        heard: view.View,
        ask: Callable[[], wire.SlicePorts],
        release: Callable[[str], None],
    ) -> None:
        self._client = client
        self._slice = slice_name
        self._view = heard
        self._ask = ask
        self._release = release
        self._told: dict[str, Told] = {}
        self._problems: dict[str, str] = {}
        """By instance; '' for a whole round."""
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the thread; it dies with the process."""
        threading.Thread(
            target=self._run, name='p2pcs-guard', daemon=True
        ).start()

    def stop(self) -> None:
        """Ask it to end after its round."""
        self._stopping.set()

    def _run(self) -> None:
        with futures.ThreadPoolExecutor(AT_ONCE, 'p2pcs-tell') as pool:
            while not self._stopping.wait(LOOK_S):
                try:
                    self.look(pool)
                except errors.P2PcsError as error:
                    self._note('', error.message)
                except Exception:
                    LOG.exception('Guarding slice %s failed', self._slice)
                else:
                    self._note('', '')

    def look(self, pool: futures.Executor) -> None:
        """One round.

        :raises P2PcsError: Neutron or the daemon did not answer; what is
            left is done in the next round
        """
        # Before Neutron is asked: its ports are bound before it is built.
        built = self._view.known()
        known = self._ask()
        # One whose ports are all deleted has none at which anything passes.
        filters = {**dict.fromkeys(built, ()), **rules.port_filters(known)}
        wanted = {
            instance: (placed.status.epoch, filters[instance])
            for instance in filters
            if (placed := self._view.get(instance)) is not None
            and placed.reachable
        }
        self._told = {i: t for i, t in self._told.items() if i in filters}
        self._problems = {
            i: p for i, p in self._problems.items() if i in filters or not i
        }
        changed = [i for i, w in wanted.items() if self._told.get(i) != w]
        for _ in pool.map(lambda i: self._tell(i, wanted[i]), changed):
            continue
        if known.held:
            self._free(known.held)

    def _tell(self, instance: str, told: Told) -> None:
        try:
            self._client.filter(
                self._slice, instance, wire.FilterRequest(told[1])
            )
        except (errors.NotFound, errors.WrongState) as error:
            # It is being built, by the rules of that moment, or deleted.
            LOG.debug('Instance %s is not yet told: %s', instance, error)
        except errors.P2PcsError as error:
            self._note(instance, error.message)
        else:
            self._told[instance] = told
            self._note(instance, '')

    def _free(self, held: Iterable[wire.HeldAddresses]) -> None:
        # Asked after Neutron: a grave is older than its placeholder.
        buried = {grave.instance for grave in self._client.graves().graves}
        for one in held:
            if one.instance in buried or self._is_known(one.instance):
                continue
            self._release(one.port)
            LOG.info(
                'The addresses of instance %s are free again', one.instance
            )

    def _is_known(self, instance: str) -> bool:
        try:
            self._client.instance(self._slice, instance)
        except errors.NotFound:
            return False
        return True

    def _note(self, instance: str, problem: str) -> None:
        """Log a problem when it comes and when it goes."""
        before = self._problems.pop(instance, '')
        if problem:
            self._problems[instance] = problem
        if problem and problem != before:
            LOG.warning(
                'Rules of %s are not yet enforced: %s',
                f'instance {instance}' if instance else self._slice,
                problem,
            )
        elif before and not problem:
            LOG.info(
                'Rules of %s are enforced',
                f'instance {instance}' if instance else self._slice,
            )
