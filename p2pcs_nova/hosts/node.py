# SPDX-License-Identifier: Apache-2.0
"""The node of a slice's host in Nova, by which we know it as ours."""

from __future__ import annotations

import uuid

NAMESPACE = uuid.UUID('7d9cf1f5-2bd5-5a1c-93a4-2f5b3a4b7f10')
"""Of the node ids that are made from the names of slices."""


def node_id(slice_name: str) -> str:
    """The same, whichever gateway's nova-compute brings the node."""
    return str(uuid.uuid5(NAMESPACE, slice_name))
