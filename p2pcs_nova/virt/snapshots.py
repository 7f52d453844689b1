# SPDX-License-Identifier: Apache-2.0
"""A server's disk on its way from its PC to Glance.

With the token of whoever asks for the snapshot, and never whole in memory
or on the disk of this machine.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from nova import exception
from nova.compute import task_states
from nova.image import glance

from p2pcs_nova import wire
from p2pcs_nova.client import local
from p2pcs_nova.client.downloads import Download

LOG = logging.getLogger(__name__)

TELL_S = 10.0
"""Between two words in the log on how far it is."""

UpdateTaskState = Callable[..., None]


class _Told:
    """What Glance's client reads; the log tells how far it is."""

    def __init__(
        self, source: Download, image_id: str, now: Callable[[], float]
    ) -> None:
        self._source = source
        self._image_id = image_id
        self._now = now
        self._sent = 0
        self._next = now() + TELL_S

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        self._sent += len(piece)
        if self._now() >= self._next:
            LOG.info(
                'Snapshot %s: %d of %d MiB are in Glance',
                self._image_id,
                self._sent >> 20,
                self._source.size_bytes >> 20,
            )
            self._next += TELL_S
        return piece


class Snapshots:
    """Takes snapshots of the servers of one slice."""

    def __init__(self, client: local.LocalClient, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._glance = glance.API()

    def take(
        self,
        context: Any,
        slice_name: str,
        instance: Any,
        image_id: str,
        update_task_state: UpdateTaskState,
    ) -> None:
        """Have a copy of the disk made, and give it to Glance.

        On failure Nova deletes the image, and the PC the copy.

        :raises P2PcsError: it was not copied, or broke off
        :raises ImageUnacceptable: Nova's; Glance holds something else
        """
        update_task_state(task_state=task_states.IMAGE_PENDING_UPLOAD)
        with self._client.snapshot(
            slice_name,
            instance.uuid,
            wire.SnapshotRequest(self._timeout_s),
            request_id=context.global_id or '',
        ) as copy:
            update_task_state(
                task_state=task_states.IMAGE_UPLOADING,
                expected_state=task_states.IMAGE_PENDING_UPLOAD,
            )
            kept = self._glance.update(
                context,
                image_id,
                _describe(instance),
                _Told(copy, image_id, time.monotonic),
                purge_props=False,
            )
        # Nova's client repeats what broke off, with what was left to read.
        if kept['size'] != copy.size_bytes:
            raise exception.ImageUnacceptable(
                image_id=image_id,
                reason=f'Glance took {kept["size"]} bytes of '
                f'{copy.size_bytes}',
            )
        LOG.info(
            'Snapshot %s: all %d MiB are in Glance',
            image_id,
            copy.size_bytes >> 20,
        )


def _describe(instance: Any) -> dict[str, Any]:
    """What Glance is told of a snapshot, as other drivers of Nova do."""
    properties = {
        'image_location': 'snapshot',
        'image_state': 'available',
        'owner_id': instance.project_id,
    }
    if instance.os_type:
        properties['os_type'] = instance.os_type
    return {
        'disk_format': 'qcow2',
        'container_format': 'bare',
        'properties': properties,
    }
