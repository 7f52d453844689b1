# SPDX-License-Identifier: Apache-2.0
"""The overlay believes the credentials that come with certificates."""

from __future__ import annotations

import pathlib

import pytest

from gossip import errors as gossip_errors
from gossip.descriptor import Role, peer_id
from p2pcs_nova.identity import credentials
from tests.support.members import Members


def test_gateway_and_peer_believe_each_other(tmp_path: pathlib.Path) -> None:
    members = Members(tmp_path)
    gateway = members.gateway()
    peer = members.peer(gateway)
    now = members.now.timestamp()
    for believer in (gateway, peer):
        trust = credentials.membership_to_trust(believer.membership)
        for place, role in ((gateway, Role.GATEWAY), (peer, Role.PEER)):
            held = place.membership
            said = trust.check(held.credential, now, held.issuer_credential)
            assert said.role is role
            assert said.peer.hex() == held.peer_id
            assert said.not_after == int(
                held.certificate.not_valid_after_utc.timestamp()
            )


def test_another_overlay_of_the_same_name_is_not_believed(
    tmp_path: pathlib.Path,
) -> None:
    ours, theirs = Members(tmp_path / 'a'), Members(tmp_path / 'b')
    trust = credentials.membership_to_trust(ours.gateway().membership)
    stranger = theirs.gateway().membership
    with pytest.raises(gossip_errors.CredentialRefused):
        trust.check(stranger.credential, theirs.now.timestamp())


def test_a_membership_makes_a_node_identity(tmp_path: pathlib.Path) -> None:
    members = Members(tmp_path)
    peer = members.peer(members.gateway())
    identity = credentials.membership_to_identity(
        peer.membership, peer.store.key(), 7400
    )
    assert identity.peer == peer_id(identity.public_key)
    assert identity.peer.hex() == peer.membership.peer_id
    ring = credentials.membership_to_ring(peer.membership)
    assert [number for number, _ in ring.keys] == [1]
