# SPDX-License-Identifier: Apache-2.0
"""What a PC has promised is there again after a restart."""

import contextlib
import os
import pathlib
import subprocess
import sys
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
    assert (loaded.draining, loaded.slice) == (False, '')
    assert (tmp_path / 'peer.sqlite').stat().st_mode & 0o077 == 0


def test_everything_is_read_back(tmp_path: pathlib.Path) -> None:
    built = msgspec.structs.replace(ENTRY, stage=Stage.BUILT)
    with opened(tmp_path) as store:
        store.put_term('gold', wire.Counter(1, 2))
        store.put_entry(ENTRY)
        store.put_entry(built)
        store.put_tombstone(wire.Tombstone('u', wire.Counter(1, 4)))
        store.put_draining(True)
        store.put_slice('gold')
    with opened(tmp_path) as store:
        loaded = store.load()
        assert loaded.terms == {'gold': wire.Counter(1, 2)}
        assert loaded.entries == {SPEC.instance: built}
        assert loaded.tombstones == {'u': wire.Counter(1, 4)}
        assert (loaded.draining, loaded.slice) == (True, 'gold')
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


@pytest.mark.skipif(os.geteuid() != 0, reason='mounts a file system')
def test_full_pc_can_be_emptied(tmp_path: pathlib.Path) -> None:
    """On a disk that is really full, in a mount name space of our own."""
    done = subprocess.run(
        ['unshare', '--mount', sys.executable, '-c', FILL_AND_BURY, tmp_path],
        cwd=pathlib.Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


FILL_AND_BURY = """
import os, pathlib, subprocess, sys
from p2pcs_nova import errors, wire
from tests.unit.peer.test_store import ENTRY, SPEC, opened

folder = pathlib.Path(sys.argv[1])
subprocess.run(
    ['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder], check=True
)
with opened(folder) as store:
    store.put_entry(ENTRY)
    store.lay_ballast()
    with open(folder / 'fill', 'wb', buffering=0) as fill:
        try:
            while True:
                fill.write(bytes(4096))
        except OSError:
            pass
    store.lay_ballast()
    big = wire.Signed(bytes(10**6), 'b' * 32, b'signature')
    try:
        store.put_entry(type(ENTRY)(ENTRY.right, big, SPEC))
    except errors.NoSpace:
        pass
    else:
        sys.exit('the disk is not full')
    store.put_tombstone(wire.Tombstone(SPEC.instance, ENTRY.right.epoch))
    store.forget(SPEC.instance)
    loaded = store.load()
    assert loaded.entries == {}
    assert loaded.tombstones == {SPEC.instance: ENTRY.right.epoch}
    assert not (folder / 'ballast').exists()
    (folder / 'fill').unlink()
    store.lay_ballast()
    assert (folder / 'ballast').stat().st_size == 2**20
"""
