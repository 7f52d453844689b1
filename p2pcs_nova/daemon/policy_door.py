# SPDX-License-Identifier: Apache-2.0
"""What may be asked about policy and era, and by whom they are changed."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from p2pcs_nova import errors, names, wire
from p2pcs_nova.daemon.choosing import record_to_pc
from p2pcs_nova.daemon.map_writer import bound_slices, slots_of
from p2pcs_nova.daemon.role import Role
from p2pcs_nova.daemon.station import Station
from p2pcs_nova.policy import changes, reading, signing
from p2pcs_nova.policy.document import Policy
from p2pcs_nova.policy.words import PolicyError
from p2pcs_nova.transport import handling


def member_route(station: Station) -> Route:
    """For members and this machine: whoever lacks it asks."""

    async def policy(request: Request) -> Response:
        handling.require(request, names.PEER, names.GATEWAY, 'local')
        return handling.answer(station.policies.in_force.bundle)

    return Route('/v1/policy', policy, methods=['GET'])


def operator_routes(station: Station, role: Role) -> list[Route]:
    """For the UNIX socket of a gateway: the operator's word."""

    async def apply(request: Request) -> Response:
        handling.require_operator(request)
        signed = await handling.decode(request, wire.SignedPolicy)
        policies = station.policies
        policy = signing.open_policy(signed, station.me.root_key)
        if signed != policies.in_force.bundle.policy:
            found = await plan(station, role, policy)
            if policy.version < found.version:
                raise errors.StalePolicy(found.faults[0])
            if found.faults:
                raise errors.PolicyRefused('; '.join(found.faults))
            await policies.apply(signed)
        return handling.answer(None)

    async def raise_era(request: Request) -> Response:
        handling.require_operator(request)
        signed = await handling.decode(request, wire.SignedEra)
        await station.policies.apply_era(signed)
        return handling.answer(None)

    async def try_out(request: Request) -> Response:
        handling.require(request, 'local')
        text = (await handling.decode(request, wire.PolicyText)).text
        try:
            policy = reading.read_policy(text)
        except PolicyError as error:
            raise errors.BadPolicy(str(error)) from None
        return handling.answer(await plan(station, role, policy))

    return [
        Route('/v1/policy', apply, methods=['PUT']),
        Route('/v1/policy/plan', try_out, methods=['POST']),
        Route('/v1/era', raise_era, methods=['PUT']),
    ]


def hosts_route(hear: Callable[[wire.HostsReport], None]) -> Route:
    """For this machine's p2pcs-gateway: what Nova has left of slices."""

    async def hosts(request: Request) -> Response:
        handling.require(request, 'local')
        hear(await handling.decode(request, wire.HostsReport))
        return handling.answer(None)

    return Route('/v1/policy/hosts', hosts, methods=['PUT'])


async def plan(
    station: Station, role: Role, policy: Policy
) -> wire.PolicyPlan:
    """What this policy would do to the PCs that are on now.

    Those that are off must be in one site, too, by what they said last.

    :raises Unavailable: nobody can say which slices hold instances
    """
    occupied = await role.occupied()
    by_peer = station.net.peer_records()
    last = station.net.last_records()
    records = list(by_peer.values())
    return changes.plan(
        station.policies.in_force.partition,
        policy,
        [record_to_pc(peer, record) for peer, record in by_peer.items()],
        [record_to_pc(peer, record) for peer, record in last.items()],
        {peer: record.name for peer, record in last.items()},
        occupied | bound_slices(records),
        slots_of(policy, records),
    )
