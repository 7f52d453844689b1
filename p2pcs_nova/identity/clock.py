# SPDX-License-Identifier: Apache-2.0
"""Comparing the clocks of two machines, and telling people of time."""

from __future__ import annotations

import datetime

from p2pcs_nova import errors

MAX_SKEW_S = 60.0
"""Certificates are backdated by more than this."""


def check_skew(
    mine: datetime.datetime, theirs_s: float, me: str, them: str
) -> None:
    """Compare two clocks.

    :param theirs_s: seconds since 1970
    :param me: whose clock is ``mine``, for people
    :raises ClockSkew: they differ by more than :data:`MAX_SKEW_S`; the
        message says by how much, and which one is ahead
    """
    ahead_s = theirs_s - mine.timestamp()
    if abs(ahead_s) <= MAX_SKEW_S:
        return
    first, second = (them, me) if ahead_s > 0 else (me, them)
    raise errors.ClockSkew(
        f'the clock of {first} is {seconds_to_words(abs(ahead_s))} ahead of '
        f'the clock of {second}: set the wrong one (NTP does it for good), '
        'then join again with the same token'
    )


def seconds_to_words(seconds: float) -> str:
    """The two largest units of a duration: ``2 h 5 min``."""
    whole = round(seconds)
    parts = []
    for size, unit in ((86400, 'd'), (3600, 'h'), (60, 'min'), (1, 's')):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f'{count} {unit}')
    return ' '.join(parts[:2]) or '0 s'
