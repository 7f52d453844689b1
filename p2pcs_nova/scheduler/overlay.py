# SPDX-License-Identifier: Apache-2.0
"""The overlay as the scheduler asks it."""

from __future__ import annotations

import threading

from oslo_log import log

from p2pcs_nova import errors, wire
from p2pcs_nova.client import local

LOG = log.getLogger(__name__)

REFUSED = (errors.Malformed, errors.Unsupported, errors.TooLarge)
"""What is said of a request that nobody can serve."""


class Overlay:
    """Asks the gateway daemon of this machine; safe between threads.

    :param quick: gives up soon: without an answer Nova places alone
    :param patient: for requests with wishes, which nobody else can judge
    """

    def __init__(
        self, quick: local.LocalClient, patient: local.LocalClient
    ) -> None:
        self._quick = quick
        self._patient = patient
        self._lock = threading.Lock()
        self._is_away = False

    def fits(
        self, request: wire.FitRequest, request_id: str
    ) -> wire.Fits | None:
        """What the slices can take; None: the overlay is out of reach.

        :raises P2PcsError: the wishes are none; the message says why
        """
        wishes = request.wishes != wire.Wishes()
        client = self._patient if wishes else self._quick
        try:
            found = client.fits(request, request_id=request_id)
        except REFUSED:
            raise
        except errors.NotFound as error:
            # Without a wish it is a daemon of an older release.
            if request.wishes.slice:
                raise
            self._note(error)
            return None
        except errors.P2PcsError as error:
            self._note(error)
            return None
        self._note(None)
        return found

    def _note(self, error: errors.P2PcsError | None) -> None:
        """Tell once that it goes, and once that it is back."""
        with self._lock:
            was_away, self._is_away = self._is_away, error is not None
        if error is not None and not was_away:
            LOG.warning(
                'The overlay is out of reach, so servers are placed as '
                'Nova alone would place them: %s',
                error,
            )
        elif error is None and was_away:
            LOG.info('The overlay is within reach again')
