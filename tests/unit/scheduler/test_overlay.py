# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from unittest import mock

import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.client import local
from p2pcs_nova.scheduler import overlay

ANY = wire.FitRequest(wire.Capacity(1, 1, 1))
GOLD = wire.FitRequest(ANY.need, wishes=wire.Wishes(slice='gold'))
FITS = wire.Fits(())


def make(*answers: object) -> overlay.Overlay:
    """It gets these answers, one after the other."""
    client = mock.create_autospec(local.LocalClient, instance=True)
    client.fits.side_effect = answers
    return overlay.Overlay(client, client)


def test_wishes_are_worth_a_longer_wait() -> None:
    quick, patient = (
        mock.create_autospec(local.LocalClient, instance=True)
        for _ in range(2)
    )
    asked = overlay.Overlay(quick, patient)
    asked.fits(ANY, 'req-1')
    quick.fits.assert_called_once_with(ANY, request_id='req-1')
    asked.fits(GOLD, 'req-2')
    patient.fits.assert_called_once_with(GOLD, request_id='req-2')


def test_outage_is_told_once_and_so_is_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    away = errors.Unavailable('no daemon')
    asked = make(FITS, away, errors.Unreachable('silence'), FITS, FITS, away)
    found = [asked.fits(ANY, 'req-1') for _ in range(6)]
    assert found == [FITS, None, None, FITS, FITS, None]
    said = [(one.levelname, one.getMessage()) for one in caplog.records]
    assert [level for level, _ in said] == ['WARNING', 'INFO', 'WARNING']
    assert 'no daemon' in said[0][1]


@pytest.mark.parametrize(
    'error', [errors.Malformed('1:7: no'), errors.Unsupported('no')]
)
def test_request_that_nobody_can_serve_is_no_outage(
    error: errors.P2PcsError, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(type(error)):
        make(error).fits(ANY, 'req-1')
    assert caplog.records == []


def test_slice_that_is_not_there_is_the_wishers_mistake_only() -> None:
    nothing = errors.NotFound('nothing there')
    with pytest.raises(errors.NotFound):
        make(nothing).fits(GOLD, 'req-1')
    # A daemon of an older release does not know the question.
    assert make(nothing).fits(ANY, 'req-1') is None
