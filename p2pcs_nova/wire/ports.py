# SPDX-License-Identifier: Apache-2.0
"""Ports of guests, and what may pass at them; Neutron's word on both."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

import msgspec

from p2pcs_nova.wire.basics import (
    Counter,
    Ip,
    Mac,
    NetworkName,
    Uuid,
)


class Direction(enum.StrEnum):
    """Of a packet, as the guest sees it."""

    INGRESS = 'ingress'
    EGRESS = 'egress'


Remotes = Annotated[tuple[Ip, ...], msgspec.Meta(max_length=2**14)]


class Rule(msgspec.Struct, frozen=True):
    """What one rule of a security group lets pass.

    Replies to what was let pass need no rule.
    """

    direction: Direction
    version: Literal[4, 6]
    """Of IP."""
    protocol: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
    """Its number; None: any."""
    port_min: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    """First destination port, or type of ICMP; None: any."""
    port_max: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    """Last destination port, or code of ICMP; None: any."""
    remotes: Remotes | None = None
    """Addresses of the other side; None: any, empty: nobody."""


RULES_MAX = 2**10
Rules = Annotated[tuple[Rule, ...], msgspec.Meta(max_length=RULES_MAX)]
Ips = Annotated[tuple[Ip, ...], msgspec.Meta(max_length=2**10)]


class PortFilter(msgspec.Struct, frozen=True):
    """What may pass at a port: the parts of a Vif that may change."""

    port: Uuid
    ips: Ips = ()
    secured: bool = True
    rules: Rules = ()


class Vif(msgspec.Struct, frozen=True):
    """One Neutron port as the PC plugs it."""

    port: Uuid
    mac: Mac
    network: NetworkName
    """Physical network; the PC's owner maps it to a bridge."""
    ips: Ips = ()
    """Fixed addresses and allowed pairs: what the guest may use."""
    mtu: Annotated[int, msgspec.Meta(ge=68, le=65535)] = 1500
    secured: bool = True
    """Neutron's port security: False lets everything pass."""
    rules: Rules = ()
    """Of all its security groups; without any, nothing passes."""

    def with_filter(self, new: PortFilter) -> Vif:
        """The same port, at which something else may pass."""
        return msgspec.structs.replace(
            self, ips=new.ips, secured=new.secured, rules=new.rules
        )


class FilterRequest(msgspec.Struct, frozen=True):
    """Driver to gateway, which adds the epoch, to PC: these from now on.

    A port that is not named is Neutron's no more: nothing passes there.
    """

    ports: tuple[PortFilter, ...]
    epoch: Counter | None = None
    """None only from the driver; a PC refuses any but the one it runs."""


class SlicePort(msgspec.Struct, frozen=True):
    """A port that is bound to a slice, and what may pass at it."""

    port: Uuid
    instance: str
    ips: Ips = ()
    secured: bool = True
    groups: tuple[str, ...] = ()
    """Its security groups."""


class HeldAddresses(msgspec.Struct, frozen=True):
    """A placeholder: the addresses of a deleted instance's port."""

    port: Uuid
    """Of the placeholder."""
    instance: str


class SlicePorts(msgspec.Struct, frozen=True):
    """All that Neutron knows of a slice."""

    ports: tuple[SlicePort, ...] = ()
    rules: dict[str, Rules] = {}
    """Of each security group that a port names."""
    held: tuple[HeldAddresses, ...] = ()
