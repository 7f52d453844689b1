# SPDX-License-Identifier: Apache-2.0
"""``p2pcs-peer join``: make this PC a member."""

from __future__ import annotations

import pathlib

from oslo_config import cfg

from p2pcs_nova import layout
from p2pcs_nova.identity import joining, seeking
from p2pcs_nova.identity.store import IdentityStore


async def join(conf: cfg.ConfigOpts, token: str, force: bool) -> str:
    """Join by this token; what to tell the user.

    :raises BadToken, JoinFailed, P2PcsError: it did not work; the message
        says why, and nothing is stored
    """
    places = layout.Layout(pathlib.Path(conf.state_dir))
    joiner = seeking.Joiner(conf.name, conf.bind_address, conf.port)
    store = IdentityStore(places.identity)
    try:
        membership = await joining.join(token, store, joiner, force=force)
    except joining.AlreadyMember as member:
        return str(member)
    return (
        f'This PC is now a peer of overlay {membership.overlay}, with id '
        f'{membership.peer_id}.  Start the daemon: `p2pcs-peer run`, or '
        '`systemctl enable --now p2pcs-peer`.'
    )
