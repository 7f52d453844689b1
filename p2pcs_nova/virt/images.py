# SPDX-License-Identifier: Apache-2.0
"""Images on their way from Glance to the gateway.

With the token of the request that asks for the server: no credential of
the slice's own could read more than its user may.  The digest that Glance
keeps names the bytes from here on; the gateway verifies it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from nova import exception
from nova.image import glance
from oslo_concurrency import lockutils

from p2pcs_nova import wire
from p2pcs_nova.client import local

LOG = logging.getLogger(__name__)

DIGESTS = ('sha512', 'sha256')


class Images:
    """Puts images where the PCs of the slice can fetch them."""

    def __init__(self, client: local.LocalClient, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._glance = glance.API()

    def ensure(
        self, context: Any, image_id: str, trusted_certs: Any = None
    ) -> wire.Image:
        """Have the gateway hold this image; at once if it does already.

        Of several callers for one image the first one downloads.

        :raises ImageUnacceptable: Nova's; Glance holds no digest or no
            bytes, or names a digest that we do not take
        :raises P2PcsError: the gateway refused it or does not answer
        """
        found = self._glance.get(context, image_id)
        image = glance_to_wire(found)
        with lockutils.lock(image.digest, lock_file_prefix='p2pcs-image-'):
            if self._client.has_image(image.digest):
                return image
            LOG.info(
                'Image %s (%d MiB) goes to the gateway as %s',
                image_id,
                image.size_bytes // 2**20,
                image.digest,
            )
            chunks = self._glance.download(
                context, image_id, trusted_certs=trusted_certs
            )
            self._client.put_image(
                image,
                chunks,
                timeout_s=self._timeout_s,
                request_id=context.global_id or '',
            )
        return image


def glance_to_wire(image: Mapping[str, Any]) -> wire.Image:
    """Glance's description, as Nova's API hands it out.

    :raises ImageUnacceptable: Nova's; says what is missing
    """
    algorithm, value = image.get('os_hash_algo'), image.get('os_hash_value')
    reason = ''
    if algorithm not in DIGESTS or not value:
        reason = (
            f'its os_hash_algo is {algorithm}; PCs fetch images by their '
            f'{" or ".join(DIGESTS)} digest'
        )
    elif not image.get('size'):
        reason = 'it has no bytes'
    elif image.get('disk_format') not in ('qcow2', 'raw'):
        reason = f'disk_format {image.get("disk_format")} is not qcow2 or raw'
    if reason:
        raise exception.ImageUnacceptable(image_id=image['id'], reason=reason)
    return wire.Image(
        digest=f'{algorithm}:{value}',
        format=image['disk_format'],
        size_bytes=image['size'],
        name=image.get('name') or '',
    )
