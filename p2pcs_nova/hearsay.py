# SPDX-License-Identifier: Apache-2.0
"""What a PC says of itself, as far as it can be believed.  Pure.

One PC's word goes into the sum of its slice, the slots of its site and the
ranks of all: an absurd one would cost all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from p2pcs_nova import attributes, texts, wire

NOTHING = wire.Capacity()
MOST = wire.Capacity(vcpus=2**12, memory_mb=2**26, disk_mb=2**28)
"""No PC has more, and the sum over all that the overlay can hold is still
a number that we, Nova and Placement take."""
LIMITS: dict[str, float] = {
    'cores': MOST.vcpus,
    'cpu_score': 10**5,
    'disk_mb': MOST.disk_mb,
    'memory_mb': MOST.memory_mb,
    'network_mbps': 10**7,
    'reliability': 1,
}
"""Of the numbers that mean the same everywhere; none is below 0."""
NAME_LIMIT = 64
"""Characters of a host name."""


def believable(record: wire.PeerRecord) -> wire.PeerRecord:
    """The record; without its numbers if no PC can have them.

    A known attribute that is of another kind than its name, or is no such
    number, is not said.  Texts become fit to be shown.
    """
    offer = record.offer
    used = record.used
    if MOST.fits(offer.total) and MOST.fits(used):
        offer = msgspec.structs.replace(
            offer,
            reason=texts.printable(offer.reason),
            cpu_model=texts.printable(offer.cpu_model, NAME_LIMIT),
        )
    else:
        offer = wire.Offer(NOTHING, reason='it says more than a PC can have')
        used = NOTHING
    return msgspec.structs.replace(
        record,
        name=texts.printable(record.name, NAME_LIMIT),
        offer=offer,
        attributes=dict(_said(record.attributes)),
        used=used,
    )


def _said(said: wire.Attributes) -> Iterator[tuple[str, wire.Attribute]]:
    for name, value in said.items():
        kind = attributes.KNOWN.get(name)
        if kind in (None, wire.kind_of(value)) and _is_within(name, value):
            yield name, value


def _is_within(name: str, value: wire.Attribute) -> bool:
    limit = LIMITS.get(name)
    return limit is None or (
        isinstance(value, int | float) and 0 <= value <= limit
    )
