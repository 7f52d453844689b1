# SPDX-License-Identifier: Apache-2.0
"""What may fail for a while, and is tried again."""

from __future__ import annotations

import logging

LOG = logging.getLogger(__name__)


class Trouble:
    """Something that may fail for a while: said when it comes and goes."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._problem = ''

    def note(self, problem: str) -> None:
        """How it is now; '': well."""
        if problem and not self._problem:
            LOG.warning('%s: %s', self._what, problem)
        elif self._problem and not problem:
            LOG.info('%s: it goes on', self._what)
        self._problem = problem
