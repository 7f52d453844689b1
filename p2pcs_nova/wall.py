# SPDX-License-Identifier: Apache-2.0
"""The wall clock: certificates and tokens are all that it decides on."""

from __future__ import annotations

import datetime
from collections.abc import Callable

Wall = Callable[[], datetime.datetime]
"""Tells the time, in UTC."""


def utc_now() -> datetime.datetime:
    """Now, in UTC."""
    return datetime.datetime.now(datetime.UTC)
