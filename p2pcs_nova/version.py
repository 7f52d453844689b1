# SPDX-License-Identifier: Apache-2.0
"""Which release this is."""

from __future__ import annotations

import functools
import importlib.metadata


@functools.cache
def release() -> str:
    """The installed version; 'unknown' when run from an unbuilt tree."""
    try:
        return importlib.metadata.version('p2pcs-nova')
    except importlib.metadata.PackageNotFoundError:
        return 'unknown'
