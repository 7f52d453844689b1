# SPDX-License-Identifier: Apache-2.0
"""Nova's scheduler with the overlay asked first.

Claims in Placement, filters, weighers, groups, alternates and roll-back
stay Nova's.  Two of its steps are wrapped:

* ``select_destinations``: the overlay is asked which slices can serve the
  request now; wishes that nobody can fulfil end here.  What Nova refuses
  is told with the overlay's reasons;
* ``_schedule``: of the hosts that Placement offers, a few slices with room
  are tried, then all that the wishes allow.

Restricting comes after Placement and not before it (by aggregates): so
availability zones, traits, requested and forced hosts are honoured before
a slice is drawn, no slice needs an aggregate of its own, and the second
try costs no second question.  What is dear for many hosts is Nova's own
part: the state of each host is read, filtered and weighed.

It keeps nothing that a second scheduler beside it would have to know.
"""

from __future__ import annotations

import contextvars
import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

import nova.conf
import oslo_messaging as messaging
from nova import exception, objects
from nova.scheduler import manager, utils
from oslo_log import log

from p2pcs_nova import errors, texts
from p2pcs_nova.client import local
from p2pcs_nova.scheduler import (
    choosing,
    conf,
    filters,
    overlay,
    request,
    stats,
    weighers,
)

LOG = log.getLogger(__name__)

CONF = nova.conf.CONF
conf.register(CONF)

ALL_WEIGHERS = 'nova.scheduler.weights.all_weighers'
"""Nova's default."""
FAULT_LIMIT = 225
"""Bytes: a server's fault holds 255, Nova's "No valid host…" included."""

_CHOICE: contextvars.ContextVar[choosing.Choice | None]
_CHOICE = contextvars.ContextVar('choice', default=None)
"""Of the request that this thread serves."""


class P2PSchedulerManager(manager.SchedulerManager):  # type: ignore[misc]
    """The manager of ``p2pcs-scheduler``."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        ours = CONF.p2pcs
        self._overlay = overlay.Overlay(
            local.LocalClient(ours.socket, ours.ask_timeout_s),
            local.LocalClient(ours.socket, ours.timeout_s),
        )
        # Workers are forked from here: they must not draw alike.
        self._rng = random.SystemRandom()
        self._hosts: dict[str, str] = {}
        """Of compute nodes, by their id; neither ever changes."""
        filters.let_slices_pass(self.host_manager)
        # Whoever has chosen weighers has chosen without ours, or has it.
        if ALL_WEIGHERS in CONF.filter_scheduler.weight_classes:
            self._weigh_slots()

    @messaging.expected_exceptions(exception.NoValidHost)  # type: ignore[untyped-decorator]
    def select_destinations(
        self,
        context: Any,
        request_spec: Any = None,
        filter_properties: Any = None,
        spec_obj: Any = manager.SchedulerManager._sentinel,
        instance_uuids: Any = None,
        return_objects: bool = False,
        return_alternates: bool = False,
    ) -> Any:
        """As Nova's; hosts that the overlay advises are tried first.

        :raises NoValidHost: Nova's; also if the wishes cannot be
            fulfilled or are none.  Nothing is claimed
        """
        if spec_obj is self._sentinel:
            spec_obj = objects.RequestSpec.from_primitives(
                context, request_spec, filter_properties
            )
        choice = None
        if 'flavor' in spec_obj:
            request.take_back_rebuild(spec_obj)
            # At a rebuild Nova only looks whether its host can do the image.
            if not utils.request_is_rebuild(spec_obj):
                begin = time.monotonic()
                choice = self._ask(context, spec_obj, instance_uuids)
                asked_ms = (time.monotonic() - begin) * 1e3
        token = _CHOICE.set(choice)
        try:
            found = super().select_destinations(
                context,
                spec_obj=spec_obj,
                instance_uuids=instance_uuids,
                return_objects=return_objects,
                return_alternates=return_alternates,
            )
        except messaging.ExpectedException as refusal:
            error = refusal.exc_info[1]
            if choice is None:
                raise error from None
            raise self._refuse(
                context, spec_obj, instance_uuids, choice, error
            ) from None
        finally:
            _CHOICE.reset(token)
        if choice is not None:
            for uuid, hosts in zip(
                _uuids(spec_obj, instance_uuids), found, strict=False
            ):
                self._say(
                    context,
                    uuid,
                    f'goes to {_names(hosts)}; {choice.seen()}; '
                    f'the overlay answered in {asked_ms:.0f} ms',
                )
        return found

    def _schedule(
        self,
        context: Any,
        spec_obj: Any,
        instance_uuids: Any,
        alloc_reqs_by_rp_uuid: Any,
        provider_summaries: Any,
        allocation_request_version: Any = None,
        return_alternates: bool = False,
    ) -> Any:
        """Nova's, on the hosts of the choice; then on all it allows."""

        def schedule(summaries: Any) -> Any:
            return super(P2PSchedulerManager, self)._schedule(
                context,
                spec_obj,
                instance_uuids,
                alloc_reqs_by_rp_uuid,
                summaries,
                allocation_request_version,
                return_alternates,
            )

        choice = _CHOICE.get()
        if choice is None or not provider_summaries:
            return schedule(provider_summaries)
        hosts = self._hosts_of(context, provider_summaries)
        everywhere = set(hosts.values())
        allowed = {one for one in everywhere if choice.allows(one)}
        if everywhere and not allowed:
            raise exception.NoValidHost(reason='')
        count = len(instance_uuids or ()) or spec_obj.num_instances
        first = choice.first(allowed, count, self._rng)
        # A group's policy may be a wish that weighers fulfil, among all.
        if first and first != allowed and spec_obj.instance_group is None:
            try:
                return schedule(_only(provider_summaries, hosts, first))
            except exception.NoValidHost:
                LOG.debug('None of %s takes it', ', '.join(sorted(first)))
        if allowed != everywhere:
            provider_summaries = _only(provider_summaries, hosts, allowed)
        return schedule(provider_summaries)

    def _get_all_host_states(
        self, context: Any, spec_obj: Any, provider_summaries: Any
    ) -> Iterable[Any]:
        """Nova's, with the room of each slice for our weigher."""
        found = super()._get_all_host_states(
            context, spec_obj, provider_summaries
        )
        choice = _CHOICE.get()
        return found if choice is None else _with_slots(found, choice)

    def _weigh_slots(self) -> None:
        known = self.host_manager.weighers
        if not any(isinstance(one, weighers.P2PSlotsWeigher) for one in known):
            known.append(weighers.P2PSlotsWeigher())

    # -- asking -------------------------------------------------------------

    def _ask(
        self, context: Any, spec_obj: Any, instance_uuids: Any
    ) -> choosing.Choice:
        """What the overlay says to a request.

        :raises NoValidHost: Nova's; the wishes are none, no PC is allowed
            by them, or nobody can tell
        """
        try:
            wanted = request.spec_to_request(
                spec_obj, _uuids(spec_obj, instance_uuids)
            )
            fits = self._overlay.fits(wanted, context.global_id or '')
        except errors.P2PcsError as error:
            raise self._refuse(
                context, spec_obj, instance_uuids, None, error
            ) from None
        choice = choosing.Choice(wanted, fits)
        if choice.is_hopeless:
            raise self._refuse(context, spec_obj, instance_uuids, choice, None)
        return choice

    def _hosts_of(self, context: Any, summaries: Any) -> dict[str, str]:
        """The host of each provider that is, or is part of, a compute node."""
        roots = {one['root_provider_uuid'] for one in summaries.values()}
        unknown = roots - self._hosts.keys()
        if unknown:
            for state in self.host_manager.get_host_states_by_uuids(
                context, list(unknown), None
            ):
                if state.uuid is not None:
                    self._hosts[state.uuid] = state.host
        return {
            root: self._hosts[root] for root in roots if root in self._hosts
        }

    # -- saying -------------------------------------------------------------

    def _refuse(
        self,
        context: Any,
        spec_obj: Any,
        instance_uuids: Any,
        choice: choosing.Choice | None,
        error: Exception | None,
    ) -> Exception:
        """NoValidHost with its reasons; the log has all that is seen."""
        said = '' if error is None else _reason(error)
        seen = '' if choice is None else choice.reason()
        whole = f'{said} {seen}'.strip()
        for uuid in _uuids(spec_obj, instance_uuids):
            self._say(context, uuid, f'finds no host: {whole}')
        explained = choice is None or choice.explains or not said
        reason = _truncated(whole if explained else said)
        refusal: Exception = exception.NoValidHost(reason=reason)
        return refusal

    def _say(self, context: Any, uuid: str, text: str) -> None:
        LOG.info(
            '[%s] instance %s: %s',
            texts.or_dash(context.global_id or ''),
            uuid,
            text,
        )


def _with_slots(
    states: Iterable[Any], choice: choosing.Choice
) -> Iterator[Any]:
    for state in states:
        slots = choice.slots(state.host)
        if slots is not None:
            said = getattr(state, 'stats', None) or {}
            state.stats = said | {stats.SLOTS: str(slots)}
        yield state


def _reason(error: Exception) -> str:
    """What the error says beside its class's own words."""
    if isinstance(error, errors.P2PcsError):
        return error.message
    kwargs: dict[str, Any] = getattr(error, 'kwargs', {})
    return str(kwargs.get('reason', ''))


def _truncated(text: str) -> str:
    """As many bytes as a fault holds."""
    return text.encode()[:FAULT_LIMIT].decode(errors='ignore')


def _only(summaries: Any, hosts: dict[str, str], wanted: set[str]) -> Any:
    """The summaries of the compute nodes of these hosts."""
    return {
        uuid: one
        for uuid, one in summaries.items()
        if hosts.get(one['root_provider_uuid']) in wanted
    }


def _uuids(spec_obj: Any, instance_uuids: Any) -> Iterable[str]:
    return instance_uuids or [spec_obj.instance_uuid]


def _names(hosts: Any) -> str:
    """Hosts in the order in which the build tries them."""
    rows = hosts if isinstance(hosts, list) else [hosts]
    names = [
        one['host'] if isinstance(one, dict) else one.service_host
        for one in rows
    ]
    return ', then '.join(names)
