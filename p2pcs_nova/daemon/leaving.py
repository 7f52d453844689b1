# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-peer leave``: a PC goes for good.

The order: nothing new is taken, the instances go, the others are told, the
identity is removed; then the daemon ends, and what it kept of the overlay
goes with it.  Cut off at any point, it can be begun again.
"""

from __future__ import annotations

import pathlib
import shutil

import trio
from oslo_config import cfg

from p2pcs_nova import errors, files, layout, names, wire
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.daemon.role import Role
from p2pcs_nova.daemon.station import Station
from p2pcs_nova.identity.store import IdentityStore

LEAVE_TIMEOUT_S = 120.0
"""For the instances to be destroyed."""


async def leave(station: Station, role: Role, force: bool) -> wire.Left:
    """Leave the overlay; the daemon is to end after that.

    :param force: destroy the instances that are here
    :raises WrongState: there are some, and no ``force``; nothing changed
    :raises Forbidden: a gateway does not leave
    :raises P2PcsError: an instance could not be destroyed: still a member
    """
    await role.let_go(force)
    station.net.runtime.leave()
    station.has_left = True
    await trio.to_thread.run_sync(station.store.remove)
    return wire.Left(station.me.overlay, station.me.peer_id)


def clear(places: layout.Layout) -> None:
    """Remove what a PC kept of its overlay; idempotent.

    Its promises are void, and the terms of another overlay's gateways are
    others.
    """
    for kept in (places.peer_database, places.journal):
        for path in places.root.glob(f'{kept.name}*'):
            path.unlink()
    for file in (places.ballast, places.measured, places.policy):
        file.unlink(missing_ok=True)
    for folder in (places.images, places.instances):
        shutil.rmtree(folder, ignore_errors=True)
    files.sync_folder(places.root)


def this_pc(conf: cfg.ConfigOpts, force: bool) -> str:
    """The owner's command; what to tell him.

    :raises P2PcsError: refused; the message says why
    """
    places = layout.Layout(pathlib.Path(conf.state_dir))
    store = IdentityStore(places.identity)
    if not store.is_joined():
        _finish(places, store)
        return f'This PC is in no overlay.  {_what_is_left(places)}'
    try:
        with LocalClient(conf.socket, LEAVE_TIMEOUT_S) as client:
            left = client.leave(force)
    except errors.Unavailable:
        left = _without_daemon(places, store, force)
    return (
        f'This PC has left overlay {left.overlay}: the key and certificates '
        f'of peer {left.peer} are gone.  {_what_is_left(places)}'
    )


def _finish(places: layout.Layout, store: IdentityStore) -> None:
    """Be no member; what was kept goes too, if no instance is here."""
    store.remove()
    if places.instances.exists() and not any(places.instances.iterdir()):
        clear(places)


def _without_daemon(
    places: layout.Layout, store: IdentityStore, force: bool
) -> wire.Left:
    if not force:
        raise errors.Unavailable(
            'the daemon does not run, so nobody can be told and no instance '
            'destroyed: start it (`systemctl start p2pcs-peer`), or leave '
            'with --force, and what is in libvirt stays there'
        )
    me = store.load()
    if me.role != names.PEER:
        raise errors.Forbidden(f'a {me.role} does not leave')
    _finish(places, store)
    return wire.Left(me.overlay, me.peer_id)


def _what_is_left(places: layout.Layout) -> str:
    return (
        'To remove the rest, as root:\n'
        '  systemctl disable --now p2pcs-peer\n'
        '  rm /etc/systemd/system/p2pcs-peer.service '
        '/usr/local/bin/p2pcs-peer\n'
        f'  rm -r /opt/p2pcs /etc/p2pcs {places.root}\n'
        'and the packages that you have no other use for: '
        'libvirt-daemon-system, qemu-system-x86, qemu-utils, nftables.'
    )
