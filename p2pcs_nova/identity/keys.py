# SPDX-License-Identifier: Apache-2.0
"""Ed25519 keys: made where they are used, kept in one file each."""

from __future__ import annotations

import pathlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import files


class BadKey(ValueError):
    """The file does not hold an Ed25519 key; it is unchanged."""


def load_key(path: pathlib.Path) -> ed25519.Ed25519PrivateKey:
    """The key of this file.

    :raises FileNotFoundError: there is none
    :raises BadKey: the file holds something else
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise BadKey(f'{path}: {error}') from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise BadKey(f'{path} holds a key, but not an Ed25519 key')
    return key


def load_or_make_key(path: pathlib.Path) -> ed25519.Ed25519PrivateKey:
    """The key of this file, made first if there is none.

    Of two who make it at once both get the same.

    :raises BadKey: the file holds something else
    """
    if not path.exists():
        key = ed25519.Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        try:
            files.create(path, pem)
        except FileExistsError:
            return load_key(path)
    return load_key(path)


def public_bytes(key: ed25519.Ed25519PrivateKey) -> bytes:
    """The raw 32 bytes of the public half."""
    return key.public_key().public_bytes_raw()
