# SPDX-License-Identifier: Apache-2.0
"""Two clocks are compared in words."""

from __future__ import annotations

import datetime

import pytest

from p2pcs_nova import errors
from p2pcs_nova.identity import clock

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize('skew_s', [-60.0, -1.0, 0.0, 60.0])
def test_a_minute_is_granted(skew_s: float) -> None:
    clock.check_skew(NOW, NOW.timestamp() + skew_s, 'here', 'there')


@pytest.mark.parametrize(
    ('skew_s', 'words'),
    [
        (61.0, 'the clock of there is 1 min 1 s ahead of the clock of here'),
        (-7300, 'the clock of here is 2 h 1 min ahead of the clock of there'),
        (86400 * 3.5, 'there is 3 d 12 h ahead of the clock of here'),
    ],
)
def test_more_is_named_with_who_is_ahead(skew_s: float, words: str) -> None:
    with pytest.raises(errors.ClockSkew, match=words):
        clock.check_skew(NOW, NOW.timestamp() + skew_s, 'here', 'there')


def test_durations_have_their_two_largest_units() -> None:
    assert clock.seconds_to_words(0.2) == '0 s'
    assert clock.seconds_to_words(59.6) == '1 min'
    assert clock.seconds_to_words(3725) == '1 h 2 min'
