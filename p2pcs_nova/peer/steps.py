# SPDX-License-Identifier: Apache-2.0
"""The durable steps of a PC, by name.

Whatever survives the end of the daemon (a stored row, a file with its
name, a domain, a filter) is reported here *after* it has been done, by
one call.  A daemon may end after each of them; the next one finishes or
undoes what was begun.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable

LOG = logging.getLogger(__name__)


class Step(enum.StrEnum):
    """Every durable step, in the order of an instance's life."""

    TERM_STORED = 'term-stored'
    RIGHT_STORED = 'right-stored'
    FOLDER_MADE = 'folder-made'
    IMAGE_KEPT = 'image-kept'
    DISK_MADE = 'disk-made'
    CONFIG_DRIVE_MADE = 'config-drive-made'
    DOMAIN_DEFINED = 'domain-defined'
    FILTERS_SET = 'filters-set'
    DOMAIN_STARTED = 'domain-started'
    BUILT_STORED = 'built-stored'
    RULES_STORED = 'rules-stored'
    WISH_STORED = 'wish-stored'
    DOMAIN_RESUMED = 'domain-resumed'
    DOMAIN_SUSPENDED = 'domain-suspended'
    DOMAIN_SAVED = 'domain-saved'
    MEMORY_KEPT = 'memory-kept'
    DOMAIN_RESTORED = 'domain-restored'
    MEMORY_DROPPED = 'memory-dropped'
    COPY_BEGUN = 'copy-begun'
    COPY_ENDED = 'copy-ended'
    COPY_DROPPED = 'copy-dropped'
    TOMBSTONE_STORED = 'tombstone-stored'
    POWER_CUT = 'power-cut'
    DOMAIN_UNDEFINED = 'domain-undefined'
    FILTERS_REMOVED = 'filters-removed'
    FOLDER_REMOVED = 'folder-removed'
    FAILURE_STORED = 'failure-stored'
    UNDONE_STORED = 'undone-stored'
    RIGHT_FORGOTTEN = 'right-forgotten'
    QUARANTINE_STORED = 'quarantine-stored'
    DRAIN_STORED = 'drain-stored'


Passed = Callable[[Step, str], None]
"""Called after a step, with the instance's uuid or ''."""


def log_step(step: Step, instance: str) -> None:
    """What a daemon does with a step that is done."""
    LOG.info('[instance %s] %s', instance or '-', step.value)
