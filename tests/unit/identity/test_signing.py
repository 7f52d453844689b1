# SPDX-License-Identifier: Apache-2.0
"""Signatures are good for one purpose and by one signer."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import errors, names, wire
from p2pcs_nova.identity import signing

KEY = ed25519.Ed25519PrivateKey.generate()
RAW = KEY.public_key().public_bytes_raw()
SIGNER = names.peer_id(RAW)
RIGHT = wire.RunRight(
    instance='11111111-2222-3333-4444-555555555555',
    epoch=wire.Counter(1, 7),
    peer='f' * 32,
    slice='gold',
    image='sha256:' + '0' * 64,
)


def key_of(peer_id: str) -> bytes | None:
    return RAW if peer_id == SIGNER else None


def test_a_run_right_reads_back() -> None:
    signed = signing.sign_run_right(KEY, RIGHT)
    assert signing.verify_run_right(signed, key_of) == RIGHT


def test_a_changed_run_right_is_refused() -> None:
    signed = signing.sign_run_right(KEY, RIGHT)
    other = msgspec.structs.replace(RIGHT, slice='silver')
    for forged in (
        msgspec.structs.replace(signed, payload=msgspec.json.encode(other)),
        msgspec.structs.replace(signed, signature=b''),
        msgspec.structs.replace(signed, signer='0' * 32),
    ):
        with pytest.raises(errors.BadRunRight):
            signing.verify_run_right(forged, key_of)


def test_what_was_signed_as_something_else_is_no_run_right() -> None:
    signed = signing.sign(KEY, b'other 1\0', msgspec.json.encode(RIGHT))
    with pytest.raises(errors.BadRunRight, match='signature'):
        signing.verify_run_right(signed, key_of)


def test_signed_nonsense_is_no_run_right() -> None:
    signed = signing.sign(KEY, signing.RUN_RIGHT, b'[')
    with pytest.raises(errors.BadRunRight, match='not a run right'):
        signing.verify_run_right(signed, key_of)


def test_a_key_must_have_its_own_id() -> None:
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    signed = signing.sign_run_right(KEY, RIGHT)
    with pytest.raises(errors.BadRunRight, match='not the id of its key'):
        signing.verify_run_right(signed, lambda _: other.public_bytes_raw())
