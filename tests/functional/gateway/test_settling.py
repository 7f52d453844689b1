# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import pathlib

from p2pcs_nova.gateway import eras
from p2pcs_nova.gateway.settling import Settling
from p2pcs_nova.gateway.store import Store
from tests.support.gateways import GATEWAY_ID


class BusyStore(Store):
    """Numbers are given out before and after each look at it."""

    def stands(self) -> eras.Stand:
        self.next_number()
        found = super().stands()
        self.next_number()
        return found

    def last(self) -> eras.Last:
        self.next_number()
        found = super().last()
        self.next_number()
        return found


def test_number_that_is_given_meanwhile_makes_no_older_copy(
    tmp_path: pathlib.Path,
) -> None:
    with contextlib.closing(BusyStore(tmp_path / 'gateway.sqlite')) as store:
        settling = Settling(GATEWAY_ID, store, store, None, lambda: None)
        for _ in range(3):
            assert not settling.settle()
        assert settling.report().problem == ''
