# SPDX-License-Identifier: Apache-2.0
"""The operator's folder: the offline root, and the gateways it has made.

Nothing of it is needed while the cloud runs; keep it on a medium that is
not connected.  ``root.key`` signs certificates, credentials, policies and
eras, ``overlay.json`` has what every gateway is given.
"""

from __future__ import annotations

import datetime
import pathlib
import secrets

import msgspec
from cryptography import x509

from gossip.descriptor import Role
from p2pcs_nova import files, names, wire
from p2pcs_nova.endpoint import endpoint_to_text
from p2pcs_nova.identity import ca, credentials, keys
from p2pcs_nova.identity.issuing import IssuerFolder, IssuerPapers
from p2pcs_nova.identity.store import (
    IdentityStore,
    KnownGateway,
    Membership,
)
from p2pcs_nova.layout import Layout
from p2pcs_nova.policy import reading, signing


class AuthorityError(Exception):
    """The folder is not what the command needs; it is unchanged."""


class Enrolled(msgspec.Struct, frozen=True):
    """A gateway that this root has signed."""

    name: str
    peer_id: str
    seed: str
    """``host:port`` of the overlay."""


class _Overlay(msgspec.Struct, frozen=True):
    overlay: str
    root: bytes
    ring_keys: tuple[tuple[int, bytes], ...]
    gateways: tuple[Enrolled, ...] = ()


class Authority:
    """The root of one overlay, in a folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._state_path = folder / 'overlay.json'
        try:
            data = self._state_path.read_bytes()
        except FileNotFoundError:
            raise AuthorityError(
                f'{folder} holds no overlay: make one with '
                '`p2pcs-manage ca init`'
            ) from None
        self._state = msgspec.json.decode(data, type=_Overlay)
        self._key = keys.load_key(_key_path(folder))

    @classmethod
    def create(
        cls, folder: pathlib.Path, overlay: str, now: datetime.datetime
    ) -> Authority:
        """Make a root key, its certificate and the first ring key.

        :raises ValueError: the name cannot name an overlay
        :raises AuthorityError: the folder holds an overlay already
        """
        names.check_overlay(overlay)
        state_path = folder / 'overlay.json'
        if state_path.exists():
            raise AuthorityError(f'{folder} holds an overlay already')
        files.make_folder(folder)
        key = keys.load_or_make_key(_key_path(folder))
        root = ca.make_root(key, overlay, now)
        state = _Overlay(
            overlay, ca.to_pem(root), ((1, secrets.token_bytes(32)),)
        )
        files.create(state_path, msgspec.json.encode(state))
        return cls(folder)

    @property
    def overlay(self) -> str:
        """The overlay's name."""
        return self._state.overlay

    @property
    def root(self) -> x509.Certificate:
        """The root's certificate."""
        return x509.load_pem_x509_certificate(self._state.root)

    @property
    def gateways(self) -> tuple[Enrolled, ...]:
        """Who has been enrolled."""
        return self._state.gateways

    def enrol(
        self,
        state_dir: pathlib.Path,
        name: str,
        host: str,
        port: int,
        now: datetime.datetime,
    ) -> Membership:
        """Make this state folder a gateway's.

        Done again, it renews the certificates under the same keys.

        :param name: of the gateway, for people
        :param host: address that PCs reach it at
        :param port: of the overlay
        :raises AuthorityError: the folder belongs to a peer or to another
            overlay; it is unchanged
        """
        layout = Layout(state_dir)
        store = IdentityStore(layout.identity)
        self._check_free(store)
        public_key = store.key().public_key()
        certificate = ca.make_member(
            self._key, self.root, public_key, names.GATEWAY, self.overlay, now
        )
        self._make_issuer(IssuerFolder(layout.issuer), now)
        enrolled = Enrolled(
            name,
            names.peer_id(public_key.public_bytes_raw()),
            endpoint_to_text(host, port),
        )
        others = tuple(
            gateway
            for gateway in self.gateways
            if gateway.peer_id != enrolled.peer_id
        )
        membership = Membership(
            overlay=self.overlay,
            peer_id=enrolled.peer_id,
            role=names.GATEWAY,
            chain=ca.to_pem(certificate),
            root=self._state.root,
            credential=self._credential(certificate, Role.GATEWAY),
            issuer_credential=None,
            ring_keys=self._state.ring_keys,
            seeds=tuple(gateway.seed for gateway in others),
            gateways=tuple(
                KnownGateway(gateway.peer_id, gateway.seed)
                for gateway in others
            ),
        )
        store.save(membership)
        self._state = msgspec.structs.replace(
            self._state, gateways=(*others, enrolled)
        )
        files.replace(self._state_path, msgspec.json.encode(self._state))
        return membership

    def sign_policy(self, text: str) -> wire.SignedPolicy:
        """The policy of this text, in the root's name.

        :raises PolicyError: the text is none
        """
        reading.read_policy(text)
        return signing.sign_policy(text, self._key)

    def sign_era(self, era: wire.Era) -> wire.SignedEra:
        """This era, in the root's name."""
        return signing.sign_era(era, self._key)

    def _check_free(self, store: IdentityStore) -> None:
        if not store.is_joined():
            return
        held = store.load()
        if held.role != names.GATEWAY or held.root != self._state.root:
            raise AuthorityError(
                f'{store.folder} belongs to {held.name} already: '
                'choose another --state-dir'
            )

    def _make_issuer(
        self, folder: IssuerFolder, now: datetime.datetime
    ) -> None:
        certificate = ca.make_issuer(
            self._key,
            self.root,
            folder.key().public_key(),
            self.overlay,
            now,
        )
        folder.save(
            IssuerPapers(
                ca.to_pem(certificate),
                self._credential(certificate, Role.ISSUER),
            )
        )

    def _credential(self, certificate: x509.Certificate, role: Role) -> bytes:
        return credentials.make_credential(
            self._key,
            keys.public_bytes(self._key),
            self.overlay,
            certificate,
            role,
        )


def _key_path(folder: pathlib.Path) -> pathlib.Path:
    return folder / 'root.key'
