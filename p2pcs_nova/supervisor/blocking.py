# SPDX-License-Identifier: Apache-2.0
"""Calls that wait for a daemon, etcd or Nova."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import trio

P = ParamSpec('P')
T = TypeVar('T')


async def call(
    function: Callable[P, T], *arguments: P.args, **named: P.kwargs
) -> T:
    """In a thread of its own; cancelled, it is left alone."""
    return await trio.to_thread.run_sync(
        functools.partial(function, *arguments, **named),
        abandon_on_cancel=True,
    )
