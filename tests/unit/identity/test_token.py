# SPDX-License-Identifier: Apache-2.0
"""The text of a join token, and the proof that one has it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pcs_nova import wire
from p2pcs_nova.identity import token

TOKEN = token.JoinToken(
    id='0123456789abcdef',
    secret=b's' * 32,
    issuer='0' * 32,
    overlay='lab',
    root='a' * 64,
    expires_s=1_800_000_000,
    seeds=('198.18.0.2:7401', '198.18.1.1:7401'),
)
REQUEST = wire.JoinRequest(
    issuer='0' * 32,
    token_id=TOKEN.id,
    proof=b'',
    csr=b'csr',
    name='pc1',
    port=7400,
    wall_clock_s=1.5,
)


def test_a_token_is_one_line_that_reads_back() -> None:
    text = token.token_to_text(TOKEN)
    assert text.startswith('p2pcs1.')
    assert len(text.split()) == 1
    assert token.text_to_token(f'  {text}\n') == TOKEN


@given(st.integers(min_value=0, max_value=400))
def test_a_truncated_token_is_called_damaged(length: int) -> None:
    text = token.token_to_text(TOKEN)
    with pytest.raises(token.BadToken):
        token.text_to_token(text[: min(length, len(text) - 1)])


@given(st.text())
def test_any_text_is_a_token_or_a_bad_token(text: str) -> None:
    for candidate in (text, f'p2pcs1.{text}'):
        with pytest.raises(token.BadToken):
            token.text_to_token(candidate)


def test_a_proof_covers_every_part_of_the_request() -> None:
    proved = msgspec.structs.replace(
        REQUEST, proof=token.prove(TOKEN.secret, REQUEST)
    )
    assert token.is_proved(TOKEN.secret, proved)
    assert not token.is_proved(b'x' * 32, proved)
    for change in (
        {'issuer': '1' * 32},
        {'token_id': 'other'},
        {'csr': b'another key'},
        {'name': 'pc2'},
        {'port': 7401},
        {'wall_clock_s': 2.5},
    ):
        changed = msgspec.structs.replace(proved, **change)
        assert not token.is_proved(TOKEN.secret, changed)
