# SPDX-License-Identifier: Apache-2.0
"""An overlay's identities on disk: root, gateways, peers."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import ssl
from collections.abc import Callable

from p2pcs_nova.identity import tls
from p2pcs_nova.identity.authority import Authority
from p2pcs_nova.identity.issuing import Issuer
from p2pcs_nova.identity.joining import answer_to_membership, make_request
from p2pcs_nova.identity.seeking import Joiner
from p2pcs_nova.identity.store import IdentityStore, Membership
from p2pcs_nova.identity.token import text_to_token
from p2pcs_nova.layout import Layout
from p2pcs_nova.transport.listeners import nobody_is_revoked
from p2pcs_nova.wall import utc_now


@dataclasses.dataclass(frozen=True)
class Place:
    """One member's state folder."""

    layout: Layout
    membership: Membership

    @property
    def store(self) -> IdentityStore:
        return IdentityStore(self.layout.identity)

    def server_tls(self) -> ssl.SSLContext:
        return tls.mutual_server(
            self.store.key_path, self.membership.chain, self.membership.root
        )

    def client_tls(self) -> ssl.SSLContext:
        return tls.mutual_client(
            self.store.key_path, self.membership.chain, self.membership.root
        )

    def join_tls(self) -> ssl.SSLContext:
        return tls.join_server(self.store.key_path, self.membership.chain)

    def issuer(
        self,
        *join_seeds: str,
        is_revoked: Callable[[str], bool] = nobody_is_revoked,
    ) -> Issuer:
        """The issuer of a gateway."""
        return Issuer(
            self.layout.issuer,
            self.membership,
            ring_keys=lambda: self.membership.ring_keys,
            seeds=lambda: ('127.0.0.1:7400',),
            join_seeds=lambda: join_seeds or ('127.0.0.1:7401',),
            is_revoked=is_revoked,
        )


class Members:
    """Makes members of one overlay under a folder."""

    def __init__(
        self,
        folder: pathlib.Path,
        overlay: str = 'lab',
        now: datetime.datetime | None = None,
    ) -> None:
        self.folder = folder
        self.now = now or utc_now()
        self.authority = Authority.create(folder / 'ca', overlay, self.now)

    def gateway(self, name: str = 'gw') -> Place:
        """An enrolled gateway."""
        state = self.folder / name
        membership = self.authority.enrol(
            state, name, '127.0.0.1', 7400, self.now
        )
        return Place(Layout(state), membership)

    def peer(self, gateway: Place, name: str = 'pc') -> Place:
        """A peer that the gateway's issuer has signed."""
        issuer = gateway.issuer()
        layout = Layout(self.folder / name)
        store = IdentityStore(layout.identity)
        joining = text_to_token(issuer.create_token(60.0, self.now))
        joiner = Joiner(name, '127.0.0.1', 7400, lambda: self.now)
        answer = issuer.issue(
            make_request(joining, joiner, store.key()), self.now
        )
        issuer.close()
        membership = answer_to_membership(
            answer, joining, store.key(), self.now.timestamp()
        )
        store.save(membership)
        return Place(layout, membership)
