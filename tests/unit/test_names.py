# SPDX-License-Identifier: Apache-2.0
"""Names of members."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip import descriptor
from p2pcs_nova import names


@given(st.binary(min_size=32, max_size=32))
def test_the_overlay_and_its_daemons_agree_on_ids(key: bytes) -> None:
    assert names.peer_id(key) == descriptor.peer_id(key).hex()


@pytest.mark.parametrize('role', names.ROLES)
def test_a_name_reads_back(role: str) -> None:
    name = names.MemberName('0123456789abcdef' * 2, role, 'rome-1')
    text = str(name)
    assert text == f'{name.peer_id}.{role}.rome-1.p2pcs'
    assert names.text_to_member_name(text) == name


@given(st.text())
def test_any_text_is_a_name_or_a_value_error(text: str) -> None:
    for candidate in (text, f'{"0" * 32}.peer.{text}.p2pcs'):
        try:
            name = names.text_to_member_name(candidate)
        except ValueError:
            continue
        assert str(name) == candidate


@pytest.mark.parametrize('overlay', ['a', 'a1', 'lab-2', 'a' * 32])
def test_an_overlay_has_a_short_plain_name(overlay: str) -> None:
    assert names.check_overlay(overlay) == overlay
