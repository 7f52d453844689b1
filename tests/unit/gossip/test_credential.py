# SPDX-License-Identifier: Apache-2.0
"""Who is believed, and who is not."""

import random

import pytest

from gossip import credential, errors, throwaway
from gossip.descriptor import Role

NOW = 1_800_000_000


@pytest.fixture
def overlay() -> throwaway.Overlay:
    return throwaway.Overlay(random.Random(1))


def reason(
    trust: credential.Trust, data: bytes, now: float, issuer: bytes | None
) -> str:
    with pytest.raises(errors.CredentialRefused) as caught:
        trust.check(data, now, issuer)
    return caught.value.reason


def test_credential_has_122_bytes_and_reads_back(
    overlay: throwaway.Overlay,
) -> None:
    who = overlay.make_identity()

    said = credential.read_credential(who.credential)

    assert len(who.credential) == 122
    assert said.public_key == who.public_key
    assert said.peer == who.peer
    assert said.role is Role.PEER
    assert said.overlay == overlay.overlay


def test_peer_is_believed_with_its_issuer_and_then_without(
    overlay: throwaway.Overlay,
) -> None:
    trust = overlay.make_trust()
    first, second = overlay.make_identity(), overlay.make_identity()

    trust.check(first.credential, NOW, first.issuer_credential)

    assert trust.check(second.credential, NOW).peer == second.peer
    assert trust.issuer(
        credential.key_id(credential.raw_public_key(overlay.issuer))
    )


def test_peer_of_unknown_issuer_is_refused(overlay: throwaway.Overlay) -> None:
    who = overlay.make_identity()

    assert (
        reason(overlay.make_trust(), who.credential, NOW, None)
        == 'credential_issuer'
    )


def test_gateway_is_believed_by_the_root_alone(
    overlay: throwaway.Overlay,
) -> None:
    who = overlay.make_identity(Role.GATEWAY)

    said = overlay.make_trust().check(who.credential, NOW)

    assert said.role is Role.GATEWAY


@pytest.mark.parametrize('role', [Role.GATEWAY, Role.ADMIN])
def test_issuer_cannot_make_more_than_peers(
    overlay: throwaway.Overlay, role: Role
) -> None:
    data = overlay.sign(overlay.issuer, overlay.root, role)

    assert (
        reason(overlay.make_trust(), data, NOW, overlay.issuer_credential)
        == 'credential_role'
    )


def test_issuer_is_no_member(overlay: throwaway.Overlay) -> None:
    assert (
        reason(overlay.make_trust(), overlay.issuer_credential, NOW, None)
        == 'credential_role'
    )


def test_peer_cannot_issue(overlay: throwaway.Overlay) -> None:
    who, other = overlay.make_identity(), overlay.make_identity()
    data = overlay.sign(who.private_key, other.private_key, Role.PEER)

    assert (
        reason(overlay.make_trust(), data, NOW, who.credential)
        == 'credential_issuer'
    )


@pytest.mark.parametrize('shift', [-2 * 86400, 366 * 86400])
def test_credential_outside_its_time_is_refused(
    overlay: throwaway.Overlay, shift: int
) -> None:
    who = overlay.make_identity(Role.GATEWAY)

    assert (
        reason(overlay.make_trust(), who.credential, NOW + shift, None)
        == 'credential_time'
    )


def test_credential_of_another_overlay_is_refused(
    overlay: throwaway.Overlay,
) -> None:
    other = throwaway.Overlay(random.Random(2))
    who = other.make_identity(Role.GATEWAY)

    assert (
        reason(overlay.make_trust(), who.credential, NOW, None)
        == 'credential_overlay'
    )


def test_every_flipped_bit_is_noticed(overlay: throwaway.Overlay) -> None:
    who = overlay.make_identity(Role.GATEWAY)
    trust = overlay.make_trust()

    for place in range(len(who.credential)):
        bad = bytearray(who.credential)
        bad[place] ^= 1
        with pytest.raises((errors.Refused, errors.MalformedMessage)):
            trust.check(bytes(bad), NOW)


def test_revoked_peer_is_refused_though_it_was_believed(
    overlay: throwaway.Overlay,
) -> None:
    who = overlay.make_identity()
    trust = overlay.make_trust()
    trust.check(who.credential, NOW, who.issuer_credential)

    trust.revoke(who.peer)

    assert reason(trust, who.credential, NOW, None) == 'credential_revoked'


def test_whom_the_root_has_signed_no_revocation_bars(
    overlay: throwaway.Overlay,
) -> None:
    who = overlay.make_identity()
    trust = overlay.make_trust()
    trust.check(who.credential, NOW, who.issuer_credential)
    issuer = credential.read_credential(overlay.issuer_credential)
    gateway = overlay.make_identity(Role.GATEWAY)

    trust.revoke(issuer.peer)
    trust.revoke(gateway.peer)

    assert trust.check(who.credential, NOW).peer == who.peer
    assert trust.check(gateway.credential, NOW).peer == gateway.peer


def test_other_name_or_root_is_another_overlay() -> None:
    first = credential.overlay_id('a', bytes(32))

    assert len(first) == 8
    assert first != credential.overlay_id('b', bytes(32))
    assert first != credential.overlay_id('a', bytes([1]) * 32)


def test_bad_arguments_are_our_own_fault(overlay: throwaway.Overlay) -> None:
    with pytest.raises(errors.Misuse):
        credential.make_credential(
            overlay.root,
            overlay=b'short',
            public_key=bytes(32),
            role=Role.PEER,
            not_before=0,
            not_after=1,
        )
    with pytest.raises(errors.Misuse):
        credential.make_credential(
            overlay.root,
            overlay=bytes(8),
            public_key=bytes(32),
            role=Role.PEER,
            not_before=2,
            not_after=1,
        )
