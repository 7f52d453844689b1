# SPDX-License-Identifier: Apache-2.0
"""Snapshots that the sudden end of nova-compute has cut off.

Nova gives them up at its start and leaves their images, which nothing will
ever fill, in Glance.  The token of whoever asked is gone with the process:
the images are deleted as the user of ``[service_user]``.  One goes if

1. its server was being copied, by Nova's own record, and
2. Nova's API made it for a copy of this very server, and
3. it is empty: a copy that arrived is kept.

Nova calls us before it takes requests, so that no later snapshot's image
is among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glanceclient import exc as glance_errors
from keystoneauth1 import exceptions as keystone_errors
from nova import context as nova_context
from nova import exception, service_auth
from nova.compute import task_states
from nova.image import glance
from oslo_log import log

LOG = log.getLogger(__name__)

SERVICE_USER = 'service_user'
_SHELVING = frozenset(
    {
        task_states.SHELVING_IMAGE_PENDING_UPLOAD,
        task_states.SHELVING_IMAGE_UPLOADING,
    }
)
"""Nova itself would leave a server in these for ever."""
_COPYING = _SHELVING | {
    task_states.IMAGE_SNAPSHOT_PENDING,
    task_states.IMAGE_SNAPSHOT,
    task_states.IMAGE_PENDING_UPLOAD,
    task_states.IMAGE_UPLOADING,
}
"""Other copies may still be in the queue, and be made when we serve it."""
_KINDS = ('snapshot', 'backup')
_EMPTY = ('queued', 'saving')
_FAILURES = (
    exception.NovaException,
    glance_errors.ClientException,
    keystone_errors.ClientException,
)


def give_up(instances: Iterable[Any]) -> None:
    """Leave nothing of snapshots that were cut off.

    A Glance that does not answer, or refuses, is told in the log.

    :param instances: all of the host, as Nova has them
    """
    for instance in instances:
        if instance.task_state not in _COPYING:
            continue
        LOG.warning(
            'nova-compute ended while the server was being copied',
            instance=instance,
        )
        try:
            _delete_images(instance.uuid)
        except _FAILURES as error:
            LOG.error(
                'An empty image may stay in Glance: %s. The user in '
                "[service_user] deletes it, who needs the role 'admin'",
                error,
                instance=instance,
            )
        if instance.task_state in _SHELVING:
            _have_back(instance)


def _delete_images(instance_uuid: str) -> None:
    """Those that Nova's API has made for copies which never came."""
    context, api = _own_context(), glance.API()
    for image in api.get_all(
        context, filters={'property-instance_uuid': instance_uuid}
    ):
        properties = image['properties']
        if (
            properties.get('instance_uuid') == instance_uuid
            and properties.get('image_type') in _KINDS
            and image['status'] in _EMPTY
        ):
            LOG.info('Image %s is empty, and deleted', image['id'])
            api.delete(context, image['id'])


def _own_context() -> Any:
    context = nova_context.get_admin_context()
    context.user_auth_plugin = service_auth.get_service_auth_plugin(
        SERVICE_USER
    )
    return context


def _have_back(instance: Any) -> None:
    """Let its owner have the server as it is, to shelve it again."""
    before, instance.task_state = instance.task_state, None
    try:
        instance.save(expected_task_state=[before])
    except (
        exception.InstanceNotFound,
        exception.UnexpectedTaskStateError,
    ) as error:
        LOG.info('It is being deleted: %s', error, instance=instance)
