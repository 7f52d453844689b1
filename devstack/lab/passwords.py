# SPDX-License-Identifier: Apache-2.0
"""One random password per account, made anew for every lab."""

from __future__ import annotations

import json
import os
import pathlib
import secrets
import types
from collections.abc import Mapping

ACCOUNTS = (
    'admin',
    'demo',
    'database',
    'rabbit',
    'glance',
    'horizon',
    'neutron',
    'nova',
    'placement',
)


def write_private(path: pathlib.Path, text: str) -> bool:
    """Write a file that only its owner reads; whole or not at all.

    :returns: whether the content changed
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text() == text:
        return False
    new = path.with_name(f'.{path.name}.new')
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, 'w') as stream:
        stream.write(text)
    new.replace(path)
    return True


def load(path: pathlib.Path) -> Mapping[str, str]:
    """The passwords, by account; missing ones are made up and kept."""
    known: dict[str, str] = {}
    if path.exists():
        known = json.loads(path.read_text())
    for account in ACCOUNTS:
        known.setdefault(account, secrets.token_hex(16))
    write_private(path, json.dumps(known, indent=1, sort_keys=True) + '\n')
    return types.MappingProxyType(known)
