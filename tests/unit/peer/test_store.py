# SPDX-License-Identifier: Apache-2.0
"""What a PC has promised is there again after a restart."""

import contextlib
import pathlib
from collections.abc import Iterator

import msgspec
import pytest

from p2pcs_nova import errors, wire
from p2pcs_nova.peer.store import Entry, Stage, Store
from tests.support import one_peer

SPEC = one_peer.spec_of(one_peer.image_of(b'x'))
RIGHT = wire.RunRight(
    SPEC.instance, wire.Counter(1, 1), 'a' * 32, 'gold', SPEC.image.digest
)
ENTRY = Entry(RIGHT, wire.Signed(b'payload', 'b' * 32, b'signature'), SPEC)


@contextlib.contextmanager
def opened(folder: pathlib.Path) -> Iterator[Store]:
    store = Store(folder / 'peer.sqlite')
    try:
        yield store
    finally:
        store.close()


def test_new_store_is_empty_and_private(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as store:
        loaded = store.load()
    assert (loaded.terms, loaded.entries, loaded.tombstones) == ({}, {}, {})
    assert not loaded.draining
    assert (tmp_path / 'peer.sqlite').stat().st_mode & 0o077 == 0


def test_everything_is_read_back(tmp_path: pathlib.Path) -> None:
    built = msgspec.structs.replace(ENTRY, stage=Stage.BUILT)
    with opened(tmp_path) as store:
        store.put_term('gold', wire.Counter(1, 2))
        store.put_entry(ENTRY)
        store.put_entry(built)
        store.put_tombstone(wire.Tombstone('u', wire.Counter(1, 4)))
        store.put_draining(True)
    with opened(tmp_path) as store:
        loaded = store.load()
        assert loaded.terms == {'gold': wire.Counter(1, 2)}
        assert loaded.entries == {SPEC.instance: built}
        assert loaded.tombstones == {'u': wire.Counter(1, 4)}
        assert loaded.draining
        store.forget(SPEC.instance)
        store.put_draining(False)
    with opened(tmp_path) as store:
        assert store.load().entries == {}
        assert not store.load().draining


@pytest.mark.parametrize('later', [(1, 1), (0, 9)])
def test_terms_and_tombstones_only_rise(
    tmp_path: pathlib.Path, later: tuple[int, int]
) -> None:
    with opened(tmp_path) as store:
        store.put_term('gold', wire.Counter(1, 2))
        store.put_term('gold', wire.Counter(*later))
        store.put_tombstone(wire.Tombstone('u', wire.Counter(1, 2)))
        store.put_tombstone(wire.Tombstone('u', wire.Counter(*later)))
        loaded = store.load()
    assert loaded.terms == {'gold': wire.Counter(1, 2)}
    assert loaded.tombstones == {'u': wire.Counter(1, 2)}


def test_full_disk_changes_nothing_and_is_said(
    tmp_path: pathlib.Path,
) -> None:
    with opened(tmp_path) as store:
        store.put_entry(ENTRY)
        store._db.execute('PRAGMA max_page_count = 1')
        big = msgspec.structs.replace(ENTRY, detail='x' * 2**20)
        with pytest.raises(errors.NoSpace):
            store.put_entry(big)
        assert store.load().entries == {SPEC.instance: ENTRY}
