# SPDX-License-Identifier: Apache-2.0
"""What the overlay is asked, from Nova's request.  Pure."""

from __future__ import annotations

from typing import Any

from p2pcs_nova import wire, wishes
from p2pcs_nova.virt import translate


def spec_to_request(spec: Any) -> wire.FitRequest:
    """What a ``RequestSpec`` needs and wishes.

    Its networks are Neutron's to know: the driver asks for them.

    :raises Malformed: a wish is none
    """
    flavor = spec.flavor
    return wire.FitRequest(
        need=translate.flavor_to_capacity(flavor),
        wishes=wishes.read_wishes(
            _set(flavor, 'extra_specs'), _set(spec, 'scheduler_hints')
        ),
    )


def _set(owner: Any, field: str) -> dict[str, Any]:
    """A field of one of Nova's objects, which may be unset or None."""
    return (getattr(owner, field) if field in owner else None) or {}
