# SPDX-License-Identifier: Apache-2.0
"""Which policy is believed, and which of two is in force."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import errors, wire
from p2pcs_nova.policy import in_force, reading, signing
from p2pcs_nova.policy.in_force import InForce
from p2pcs_nova.policy.words import PolicyError

ROOT = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
ROOT_KEY = ROOT.public_key().public_bytes_raw()
GATEWAY = 'f' * 32


def text(version: int, name: str = 'all') -> str:
    return f'version: {version}\nslices: [{{name: {name}, match: {{}}}}]'


def policy(version: int, name: str = 'all') -> wire.SignedPolicy:
    return signing.sign_policy(text(version, name), ROOT)


def slices(version: int, generation: int, *names: str) -> wire.Signed:
    rows = tuple(
        wire.SliceRow(name, of=name, share=1_000_000) for name in names
    )
    return signing.sign_map(
        wire.SliceMap(version, generation, rows), ROOT, GATEWAY
    )


def test_a_newer_policy_is_taken_and_an_older_refused() -> None:
    first = InForce().with_policy(policy(2), ROOT_KEY)
    assert first.policy.names == ('all',)
    with pytest.raises(errors.StalePolicy, match='this is version 1'):
        first.with_policy(policy(1), ROOT_KEY)
    assert first.with_policy(policy(2), ROOT_KEY) is first
    assert first.with_policy(policy(3), ROOT_KEY).policy.version == 3


@pytest.mark.parametrize(
    'signed',
    [
        wire.SignedPolicy(text(1), b''),
        wire.SignedPolicy(text(1), bytes(64)),
        signing.sign_policy(text(1), OTHER),
        wire.SignedPolicy(text(2), policy(1).signature),
        wire.SignedPolicy(text(1), ROOT.sign(text(1).encode())),
    ],
    ids=['unsigned', 'zeros', 'other key', 'changed', 'no prefix'],
)
def test_what_the_root_has_not_signed_is_refused(
    signed: wire.SignedPolicy,
) -> None:
    with pytest.raises(errors.BadPolicy, match='not signed by the key'):
        InForce().with_policy(signed, ROOT_KEY)


def test_what_is_signed_and_no_policy_is_refused_with_its_place() -> None:
    with pytest.raises(errors.BadPolicy, match='policy:1: slices: is missi'):
        InForce().with_policy(signing.sign_policy('{}', ROOT), ROOT_KEY)


@pytest.mark.parametrize('value', ['{cores: ">= 8"}', '{x: "\\t"}'])
def test_signed_policy_that_is_refused_where_it_is_written_is_kept(
    value: str,
) -> None:
    """An earlier release has let it through."""
    written = f'slices: [{{name: all, match: {value}}}]'
    with pytest.raises(PolicyError):
        reading.read_policy(written)
    signed = signing.sign_policy(written, ROOT)
    bundle = InForce().with_policy(signed, ROOT_KEY).bundle
    assert InForce.restore(bundle, ROOT_KEY).policy.names == ('all',)
    assert in_force.read_partition(bundle).policy.names == ('all',)


def test_of_two_policies_of_one_version_all_take_the_same() -> None:
    one, two = policy(1, 'one'), policy(1, 'two')
    first = InForce().with_policy(one, ROOT_KEY)
    second = InForce().with_policy(two, ROOT_KEY)
    assert first.lacks(second.news) != second.lacks(first.news)
    if first.lacks(second.news):
        assert first.with_policy(two, ROOT_KEY).news == second.news
    else:
        with pytest.raises(errors.StalePolicy):
            first.with_policy(two, ROOT_KEY)


def test_a_slice_map_is_ordered_by_its_policy_and_generation() -> None:
    now = InForce().with_policy(policy(2), ROOT_KEY)
    now = now.with_map(slices(2, 5, 'all'), ROOT_KEY)
    assert now.map.generation == 5
    assert now.partition.open == ('all',)
    for older in slices(2, 4, 'all'), slices(1, 9, 'all'):
        with pytest.raises(errors.StalePolicy, match='generation 5'):
            now.with_map(older, ROOT_KEY)
    assert now.with_map(slices(2, 5, 'all'), ROOT_KEY) is now
    newer = now.with_map(slices(3, 1, 'all'), ROOT_KEY)
    assert now.lacks(newer.news)
    assert not newer.lacks(now.news)


def test_a_slice_map_that_its_gateway_has_not_signed_is_refused() -> None:
    signed = slices(1, 1, 'all')
    with pytest.raises(errors.BadPolicy, match='did not sign'):
        InForce().with_map(signed, OTHER.public_key().public_bytes_raw())
    bad = wire.Signed(b'{}', GATEWAY, ROOT.sign(signing.MAP_PREFIX + b'{}'))
    with pytest.raises(errors.BadPolicy, match='not a slice map'):
        InForce().with_map(bad, ROOT_KEY)
    run_right = msgspec.structs.replace(
        signed, signature=ROOT.sign(b'p2pcs run right 1\0' + signed.payload)
    )
    with pytest.raises(errors.BadPolicy, match='did not sign'):
        InForce().with_map(run_right, ROOT_KEY)


def test_who_has_nothing_lacks_whatever_there_is() -> None:
    nothing = InForce()
    assert not nothing.lacks(nothing.news)
    assert nothing.lacks(nothing.with_policy(policy(1), ROOT_KEY).news)
    assert nothing.partition.names == ()


def era(number: int, reason: str = '') -> wire.SignedEra:
    return signing.sign_era(wire.Era(number, GATEWAY, 'counter', reason), ROOT)


def test_era_never_goes_back_and_outlives_policies_and_slice_maps() -> None:
    first = InForce().with_era(era(2), ROOT_KEY)
    assert first.era == wire.Era(2, GATEWAY, 'counter')
    assert first.with_era(era(2), ROOT_KEY) is first
    later = (
        first.with_era(era(4), ROOT_KEY)
        .with_policy(policy(1), ROOT_KEY)
        .with_map(slices(1, 1, 'all'), ROOT_KEY)
    )
    assert first.lacks(later.news)
    assert not later.lacks(first.news)
    with pytest.raises(errors.StalePolicy, match='era 4 is in force'):
        later.with_era(era(3), ROOT_KEY)
    again = InForce.restore(later.bundle, ROOT_KEY)
    assert again.news == later.news
    assert again.era == wire.Era(4, GATEWAY, 'counter')


def test_of_two_words_for_one_era_all_take_the_same() -> None:
    one = InForce().with_era(era(2, 'one'), ROOT_KEY)
    two = InForce().with_era(era(2, 'two'), ROOT_KEY)
    assert one.lacks(two.news) != two.lacks(one.news)


@pytest.mark.parametrize(
    'signed',
    [
        wire.SignedEra(era(2).payload, bytes(64)),
        wire.SignedEra(era(2).payload, ROOT.sign(era(2).payload)),
        wire.SignedEra(era(3).payload, era(2).signature),
        signing.sign_era(wire.Era(2, GATEWAY, 'counter'), OTHER),
    ],
    ids=['zeros', 'no prefix', 'changed', 'other key'],
)
def test_era_that_the_root_has_not_signed_is_refused(
    signed: wire.SignedEra,
) -> None:
    with pytest.raises(errors.BadPolicy, match='not signed by the key'):
        InForce().with_era(signed, ROOT_KEY)


def test_what_is_signed_and_no_era_is_refused() -> None:
    payload = b'{"number": 0}'
    signed = wire.SignedEra(payload, ROOT.sign(b'p2pcs era 1\0' + payload))
    with pytest.raises(errors.BadPolicy, match='not an era'):
        InForce().with_era(signed, ROOT_KEY)
