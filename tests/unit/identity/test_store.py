# SPDX-License-Identifier: Apache-2.0
"""What a member keeps of itself."""

from __future__ import annotations

import pathlib
import stat

import pytest

from p2pcs_nova import files
from p2pcs_nova.identity import keys
from p2pcs_nova.identity.store import (
    DamagedStore,
    IdentityStore,
    NotJoined,
)
from tests.support.members import Members


@pytest.fixture
def store(tmp_path: pathlib.Path) -> IdentityStore:
    return IdentityStore(tmp_path / 'state' / 'identity')


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_made_once_and_for_its_owner_only(
    store: IdentityStore,
) -> None:
    first = keys.public_bytes(store.key())
    assert keys.public_bytes(store.key()) == first
    assert mode(store.folder) == 0o700
    assert mode(store.key_path) == 0o600


def test_another_kind_of_key_is_refused(store: IdentityStore) -> None:
    files.make_folder(store.folder)
    files.create(store.key_path, b'no key')
    with pytest.raises(keys.BadKey):
        store.key()


def test_who_has_not_joined_is_told_how(store: IdentityStore) -> None:
    assert not store.is_joined()
    with pytest.raises(NotJoined, match='p2pcs-peer join TOKEN'):
        store.load()


def test_a_membership_reads_back(tmp_path: pathlib.Path) -> None:
    members = Members(tmp_path)
    gateway = members.gateway()
    peer = members.peer(gateway)
    for place in (gateway, peer):
        assert place.store.load() == place.membership
    assert peer.membership.name.role == 'peer'
    assert mode(peer.store.folder / 'membership.json') == 0o600


def test_a_damaged_membership_is_named(store: IdentityStore) -> None:
    files.make_folder(store.folder)
    files.create(store.folder / 'membership.json', b'{"overlay": 1}')
    with pytest.raises(DamagedStore, match='membership'):
        store.load()


def test_each_start_has_a_higher_number(store: IdentityStore) -> None:
    store.key()
    assert [store.next_boot() for _ in range(3)] == [1, 2, 3]
    store.raise_boot(10)
    store.raise_boot(5)
    assert store.next_boot() == 11
    again = IdentityStore(store.folder)
    assert again.next_boot() == 12


def test_a_damaged_counter_stops_the_start(store: IdentityStore) -> None:
    store.key()
    files.create(store.folder / 'boot', b'')
    with pytest.raises(DamagedStore):
        store.next_boot()


def test_revocations_are_kept_once_each(store: IdentityStore) -> None:
    store.key()
    assert store.revocations() == ()
    for revocation in (b'first', b'second', b'first'):
        store.add_revocation(revocation)
    assert store.revocations() == (b'first', b'second')
    (store.folder / 'revocations.json').write_bytes(b'{')
    with pytest.raises(DamagedStore, match='revocations'):
        store.revocations()


def test_nothing_is_left_of_a_removed_identity(
    tmp_path: pathlib.Path,
) -> None:
    place = Members(tmp_path).gateway()
    place.store.next_boot()
    place.store.remove()
    place.store.remove()
    assert not place.store.folder.exists()
    with pytest.raises(NotJoined):
        place.store.load()
