# SPDX-License-Identifier: Apache-2.0
"""The steps of ``spawn``: what is asked for, then build and plug."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nova import exception
from nova.api.metadata import base as metadata
from nova.compute import vm_states
from nova.virt import configdrive

from p2pcs_nova import errors, wire
from p2pcs_nova.client import local
from p2pcs_nova.virt import (
    elsewhere,
    groups,
    images,
    properties,
    translate,
    view,
    vifs,
)


@dataclasses.dataclass(frozen=True)
class Extras:
    """What ``spawn`` is given besides instance and image."""

    injected_files: Any
    admin_password: str | None
    network_info: Iterable[Any]
    block_device_info: Mapping[str, Any] | None
    accel_info: Any


def check_gone(client: local.LocalClient, context: Any, instance: Any) -> None:
    """Whether nothing is left of a shelved server, which is built anew.

    A PC that is out of reach may run it still, by the same addresses.

    :param client: that names no term, and so is told of every slice
    :raises WrongState: a PC has still to destroy it
    :raises P2PcsError: the gateway cannot say so
    """
    if instance.vm_state != vm_states.SHELVED_OFFLOADED:
        return
    found = client.graves(request_id=context.global_id or '')
    left = {g.peer_name for g in found.graves if g.instance == instance.uuid}
    if left:
        raise errors.WrongState(
            f'{", ".join(sorted(left))} has still to destroy what it ran '
            'before, and does so when it is back'
        )


def make_spec(
    known_images: images.Images,
    context: Any,
    instance: Any,
    image_meta: Any,
    extras: Extras,
) -> wire.InstanceSpec:
    """Everything that a PC needs to know; the image is on its way.

    Wishes that we cannot honour are refused before anything moves.

    :raises InvalidInput: Nova's; names the wish
    :raises ImageUnacceptable: Nova's; see :meth:`images.Images.ensure`
    :raises P2PcsError: the gateway refused the image or does not answer
    """
    with _refusals_named():
        properties.check_disks(extras.block_device_info)
        properties.check_shape(
            instance.flavor, instance, image_meta.disk_format
        )
        machine = properties.machine(
            instance.flavor.extra_specs or {},
            image_meta.properties.to_dict(),
        )
        if extras.accel_info:
            raise properties.Refused('accelerators are not supported')
    group = groups.group_of(context, instance)
    # Nova allocates the ports meanwhile; the first look at them waits.
    image = known_images.ensure(context, image_meta.id, instance.trusted_certs)
    with _refusals_named():
        ports = tuple(
            translate.vif_to_wire(vif) for vif in extras.network_info
        )
    return translate.instance_to_spec(
        instance,
        image,
        machine,
        ports,
        _config_drive(instance, extras),
        group,
    )


@contextlib.contextmanager
def _refusals_named() -> Iterator[None]:
    """What we refuse is the asker's mistake: no other slice is tried."""
    try:
        yield
    except (properties.Refused, translate.NotPluggable) as refusal:
        raise exception.InvalidInput(reason=str(refusal)) from None


def plug(
    client: local.LocalClient,
    heard: view.View,
    slice_name: str,
    virtapi: Any,
    context: Any,
    instance: Any,
    spec: wire.InstanceSpec,
    wished: wire.Wishes,
    network_info: Iterable[Any],
    timeout_s: float,
    instead_of: wire.Counter | None = None,
) -> None:
    """Have a PC build it, paused and plugged; wait for Neutron's word.

    :param instead_of: the epoch that it replaces, if it is built anew
    :raises P2PcsError: no PC built it
    :raises BuildAbortException: Nova's; no slice can take it
    :raises VirtualInterfaceCreateException: Nova's; it is built, and must
        be destroyed
    """
    request_id = context.global_id or ''
    again = vifs.is_rebuild(instance)
    request = wire.SpawnRequest(
        claim=translate.spec_to_claim(spec),
        spec=spec,
        request_id=request_id,
        wishes=wished,
        has_run=again,
        instead_of=instead_of,
    )
    with vifs.plugging(virtapi, instance, network_info):
        try:
            placed = client.spawn(
                slice_name, request, timeout_s, request_id=request_id
            )
        except errors.NoPeerFits as error:
            if not again:
                elsewhere.check(client, context, slice_name, request, error)
            raise
        heard.put(placed)
        vifs.report_plugged(
            context,
            [vif.port for vif in spec.vifs],
            instance.host,
            again=again,
        )


def _config_drive(
    instance: Any, extras: Extras
) -> tuple[wire.ConfigFile, ...]:
    if not configdrive.required_by(instance):
        if extras.injected_files:
            raise exception.InvalidInput(
                reason='personality without config_drive is not supported'
            )
        return ()
    extra = {}
    if extras.admin_password:
        extra['admin_pass'] = extras.admin_password
    found = metadata.InstanceMetadata(
        instance,
        content=extras.injected_files,
        extra_md=extra,
        network_info=extras.network_info,
    )
    return translate.files_to_config_drive(found.metadata_for_config_drive())
