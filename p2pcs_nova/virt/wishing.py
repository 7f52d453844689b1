# SPDX-License-Identifier: Apache-2.0
"""What the user of a server wishes, when its build begins.

Extra specs come with the instance.  Hints do not: Nova keeps them in its
request specification, in the API's database, which a compute service asks
by its conductor.  They are limits: where they cannot be read nothing is
built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import oslo_messaging
from nova import exception, objects

from p2pcs_nova import errors, wire, wishes
from p2pcs_nova.client import local
from p2pcs_nova.virt import translate


def read(context: Any, instance: Any) -> wire.Wishes:
    """All wishes for a server, by their names only.

    :raises Malformed: a wish is none; says where in it, and why
    :raises Unavailable: Nova does not tell the hints
    """
    return wishes.read_wishes(
        instance.flavor.extra_specs or {}, _hints(context, instance.uuid)
    )


def check(
    client: local.LocalClient,
    context: Any,
    instance: Any,
    found: wire.Wishes,
) -> None:
    """Have the gateway check them, before an image moves.

    So who asked wrongly hears of it at once.

    :raises Malformed: a wish is none; says where in it, and why
    """
    if found != wire.Wishes():
        need = translate.flavor_to_capacity(instance.flavor)
        try:
            client.fits(
                wire.FitRequest(need, wishes=found),
                request_id=context.global_id or '',
            )
        except errors.NotFound as error:
            raise errors.Malformed(error.message) from None


def _hints(context: Any, uuid: str) -> Mapping[str, Sequence[str]]:
    """The hints of a server, as Nova keeps them.

    :raises Unavailable: they cannot be read: limits may be among them
    """
    try:
        spec = objects.RequestSpec.get_by_instance_uuid(context, uuid)
    except exception.RequestSpecNotFound:
        return {}
    except (exception.NovaException, oslo_messaging.MessagingException) as e:
        raise errors.Unavailable(
            "the server's scheduler hints cannot be read: does the "
            f"conductor reach the API's database? {e}"
        ) from e
    hints: Mapping[str, Sequence[str]] = {}
    if 'scheduler_hints' in spec and spec.scheduler_hints:
        hints = spec.scheduler_hints
    return hints
