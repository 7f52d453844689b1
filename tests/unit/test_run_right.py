# SPDX-License-Identifier: Apache-2.0
"""A run right is good as signed, by whom, and for nothing else."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import errors, names, run_right, wire

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


def test_a_run_right_reads_back() -> None:
    signed = run_right.sign_run_right(RIGHT, KEY, SIGNER)
    assert run_right.open_run_right(signed, RAW) == RIGHT


def test_a_changed_run_right_is_refused() -> None:
    signed = run_right.sign_run_right(RIGHT, KEY, SIGNER)
    other = msgspec.structs.replace(RIGHT, slice='silver')
    for forged in (
        msgspec.structs.replace(signed, payload=msgspec.json.encode(other)),
        msgspec.structs.replace(signed, signature=b''),
    ):
        with pytest.raises(errors.BadRunRight, match='did not sign'):
            run_right.open_run_right(forged, RAW)


def test_another_keys_run_right_is_refused() -> None:
    signed = run_right.sign_run_right(RIGHT, KEY, SIGNER)
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    for key in (other.public_bytes_raw(), b'short'):
        with pytest.raises(errors.BadRunRight):
            run_right.open_run_right(signed, key)


def test_what_was_signed_as_something_else_is_no_run_right() -> None:
    payload = msgspec.json.encode(RIGHT)
    signed = wire.Signed(payload, SIGNER, KEY.sign(b'other 1\0' + payload))
    with pytest.raises(errors.BadRunRight, match='did not sign'):
        run_right.open_run_right(signed, RAW)


@pytest.mark.parametrize('payload', [b'[', b'{}', b'\xff', b'[' * 100000])
def test_signed_nonsense_is_no_run_right(payload: bytes) -> None:
    signature = KEY.sign(run_right.PREFIX + payload)
    signed = wire.Signed(payload, SIGNER, signature)
    with pytest.raises(errors.BadRunRight, match='not a run right'):
        run_right.open_run_right(signed, RAW)
