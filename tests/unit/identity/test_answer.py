# SPDX-License-Identifier: Apache-2.0
"""What whoever relays may have put into an issuer's answer."""

from __future__ import annotations

import pathlib
from typing import Any

import msgspec
import pytest

from p2pcs_nova import wire
from p2pcs_nova.identity import joining, keys, seeking, token
from tests.support.members import Members


@pytest.fixture
def members(tmp_path: pathlib.Path) -> Members:
    return Members(tmp_path)


def answered(
    members: Members, **lies: Any
) -> tuple[wire.JoinAnswer, token.JoinToken, Any]:
    issuer = members.gateway().issuer()
    key = keys.load_or_make_key(members.folder / 'key.pem')
    text = token.text_to_token(issuer.create_token(60.0, members.now))
    joiner = seeking.Joiner('pc', '127.0.0.1', 7400, lambda: members.now)
    request = joining.make_request(text, joiner, key)
    answer = issuer.issue(request, members.now)
    issuer.close()
    return msgspec.structs.replace(answer, **lies), text, key


def test_the_truth_is_kept(members: Members) -> None:
    answer, text, key = answered(members)
    kept = joining.answer_to_membership(
        answer, text, key, members.now.timestamp()
    )
    assert kept.overlay == 'lab'


@pytest.mark.parametrize(
    'lie',
    [
        {'ring_keys': {}},
        {'ring_keys': {'300': bytes(32)}},
        {'ring_keys': {'1': b'short'}},
        {'ring_keys': {'x': bytes(32)}},
        {'credential': b''},
        {'credential': bytes(122)},
        {'issuer_credential': bytes(122)},
        {'certificates': b''},
        {'ca': b'x'},
    ],
    ids=str,
)
def test_a_lie_is_not_stored(members: Members, lie: dict[str, Any]) -> None:
    answer, text, key = answered(members, **lie)
    with pytest.raises(joining.JoinFailed):
        joining.answer_to_membership(
            answer, text, key, members.now.timestamp()
        )


def test_a_credential_of_another_is_not_stored(members: Members) -> None:
    other = members.peer(members.gateway('other')).membership
    answer, text, key = answered(
        members,
        credential=other.credential,
        issuer_credential=other.issuer_credential,
    )
    with pytest.raises(joining.JoinFailed, match='of another'):
        joining.answer_to_membership(
            answer, text, key, members.now.timestamp()
        )
