# SPDX-License-Identifier: Apache-2.0
"""Who may ask the daemon what, and where."""

from __future__ import annotations

import functools
from collections.abc import Callable

import trio
from oslo_config import cfg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
