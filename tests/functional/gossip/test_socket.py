# SPDX-License-Identifier: Apache-2.0
"""The machine's clocks and sockets, as the runtime takes them."""

import pytest

from gossip import runtime
from gossip.descriptor import Address


def test_clock_counts_sleep() -> None:
    assert runtime.boottime() > 0
    assert runtime.wall_time() > 1_600_000_000


def test_bound_address_cannot_be_taken_twice() -> None:
    with runtime.open_socket(Address('127.0.0.1', 0)) as bound:
        taken = Address(*bound.getsockname())
        with pytest.raises(OSError, match='in use'):
            runtime.open_socket(taken)
