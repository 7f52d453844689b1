# SPDX-License-Identifier: Apache-2.0
"""What the overlay is asked, from Nova's request.  Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from p2pcs_nova import wire, wishes
from p2pcs_nova.virt import groups, translate

REBUILD_HINT = '_nova_check_type'


def spec_to_request(
    spec: Any, instances: Iterable[str | None]
) -> wire.FitRequest:
    """What a ``RequestSpec`` needs and wishes.

    :param instances: those that it is for
    :raises Malformed: a wish is none
    """
    flavor = spec.flavor
    return wire.FitRequest(
        need=translate.flavor_to_capacity(flavor),
        networks=tuple(_networks(spec)),
        wishes=wishes.read_wishes(
            _set(flavor, 'extra_specs'), _set(spec, 'scheduler_hints')
        ),
        group=_group(spec),
        instances=tuple(one for one in instances if one),
    )


def take_back_rebuild(spec: Any) -> None:
    """Take away a user's hint that this is a rebuild.

    Nova itself gives it, with the host, and claims nothing then; by a hint
    of his own a user would have a new server without a claim.
    """
    if not _set(spec, 'force_hosts'):
        _set(spec, 'scheduler_hints').pop(REBUILD_HINT, None)


def _networks(spec: Any) -> Iterator[str]:
    """The physical networks, as Nova's API has asked them of Neutron.

    One whose name no PC can say is another kind of host's.
    """
    if 'network_metadata' in spec:
        for name in sorted(spec.network_metadata.physnets):
            with contextlib.suppress(msgspec.ValidationError):
                yield msgspec.convert(name, wire.NetworkName)


def _group(spec: Any) -> wire.ServerGroup | None:
    """Its server group, if it has one that gateways know."""
    group = spec.instance_group if 'instance_group' in spec else None
    if group is None or 'uuid' not in group or 'policy' not in group:
        return None
    return groups.to_wire(group)


def _set(owner: Any, field: str) -> dict[str, Any]:
    """A field of one of Nova's objects, which may be unset or None."""
    return (getattr(owner, field) if field in owner else None) or {}
