# SPDX-License-Identifier: Apache-2.0
"""Names that a user of the lab meets."""

from __future__ import annotations

NETWORK = 'office'
IMAGE = 'p2pcs-guest'
KEY_NAME = 'lab'
FIRST_SERVER = 'first'
GUEST_USER = 'root'

#: name, vcpus, memory in MB, disk in GB
FLAVORS = (
    ('m1.tiny', 1, 128, 1),
    ('m1.small', 1, 256, 1),
    ('m1.medium', 2, 512, 2),
    ('m1.large', 4, 1024, 4),
)
