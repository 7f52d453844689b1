# SPDX-License-Identifier: Apache-2.0
"""A gateway's issuer: makes tokens, and peers out of who shows one.

The order is fixed: check, dial back (not here), consume the token durably,
sign.  It signs the role peer and nothing else; what the request asks for
beside its key is not read.
"""

from __future__ import annotations

import datetime
import functools
import pathlib
from collections.abc import Callable, Sequence

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from gossip.descriptor import Role
from p2pcs_nova import errors, files, names, wire
from p2pcs_nova.identity import ca, clock, credentials, keys, token
from p2pcs_nova.identity.store import DamagedStore, Membership
from p2pcs_nova.identity.tokens import TokenBook
from p2pcs_nova.transport.listeners import nobody_is_revoked

Texts = Callable[[], Sequence[str]]
RingKeys = Callable[[], Sequence[tuple[int, bytes]]]

SEEDS = 16
"""Addresses given to a new peer, at most."""


class IssuerPapers(msgspec.Struct, frozen=True):
    """What the root has signed for an issuer."""

    certificate: bytes
    """PEM."""
    credential: bytes


class IssuerFolder:
    """Key, papers and token book of one issuer (``Layout.issuer``)."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._papers_path = folder / 'papers.json'

    @property
    def tokens_path(self) -> pathlib.Path:
        """The token book."""
        return self.folder / 'tokens.sqlite'

    def key(self) -> ed25519.Ed25519PrivateKey:
        """The issuer's key; made at the first call ever."""
        files.make_folder(self.folder)
        return keys.load_or_make_key(self.folder / 'key.pem')

    def save(self, papers: IssuerPapers) -> None:
        """Keep what the root has signed; durable at return."""
        files.replace(self._papers_path, msgspec.json.encode(papers))

    def load(self) -> IssuerPapers:
        """What the root has signed.

        :raises DamagedStore: nothing, or it cannot be read
        """
        try:
            return msgspec.json.decode(
                self._papers_path.read_bytes(), type=IssuerPapers
            )
        except (FileNotFoundError, *wire.UNDECODABLE) as error:
            raise DamagedStore(
                f'{self._papers_path}: {error}; run '
                '`p2pcs-manage gateway enrol` again'
            ) from None


class Issuer:
    """Issues tokens and certificates; blocking, safe between threads.

    :param folder: ``Layout.issuer`` of an enrolled gateway
    :param membership: the gateway's own
    :param ring_keys: the overlay's keys now, oldest first
    :param seeds: ``host:port`` of overlay members, ourselves first
    :param join_seeds: ``host:port`` of join listeners, ourselves first
    :param is_revoked: whether a peer id was put out of the overlay
    """

    def __init__(
        self,
        folder: pathlib.Path,
        membership: Membership,
        *,
        ring_keys: RingKeys,
        seeds: Texts,
        join_seeds: Texts,
        is_revoked: Callable[[str], bool] = nobody_is_revoked,
    ) -> None:
        place = IssuerFolder(folder)
        self._key = place.key()
        self._papers = place.load()
        self._certificate = x509.load_pem_x509_certificate(
            self._papers.certificate
        )
        self._membership = membership
        self._ring_keys = ring_keys
        self._seeds = seeds
        self._join_seeds = join_seeds
        self._is_revoked = is_revoked
        self._book = TokenBook(place.tokens_path)

    @property
    def peer_id(self) -> str:
        """Whom our tokens name: the gateway."""
        return self._membership.peer_id

    def close(self) -> None:
        """Close the token book."""
        self._book.close()

    def create_token(self, valid_s: float, now: datetime.datetime) -> str:
        """A token in its text form, good for one PC; durable at return.

        :param valid_s: seconds until it expires
        """
        fresh = self._book.create(valid_s, now)
        root = x509.load_pem_x509_certificate(self._membership.root)
        return token.token_to_text(
            token.JoinToken(
                fresh.id,
                fresh.secret,
                self.peer_id,
                self._membership.overlay,
                ca.fingerprint(root),
                int(fresh.expires_s),
                tuple(self._join_seeds())[: token.SEEDS],
            )
        )

    def check(self, request: wire.JoinRequest, now: datetime.datetime) -> None:
        """See whether the request would be granted; nothing changes.

        :raises TokenRefused: unknown, used, expired, or without its secret
        :raises Malformed: the certificate request
        :raises ClockSkew: over a minute; says which clock is ahead
        :raises Revoked: the key was put out of the overlay
        """
        self._book.check(
            request.token_id, functools.partial(_shows, request), now
        )
        key = ca.request_to_key(request.csr)
        if self._is_revoked(names.peer_id(key.public_bytes_raw())):
            raise errors.Revoked(
                'the key of this PC was put out of the overlay: remove it '
                'with `p2pcs-peer leave --force`, then join again'
            )
        clock.check_skew(
            now,
            request.wall_clock_s,
            'the gateway that made the token',
            f'this PC ({request.name})',
        )

    def issue(
        self, request: wire.JoinRequest, now: datetime.datetime
    ) -> wire.JoinAnswer:
        """Consume the token, then sign.

        :raises TokenRefused: as in :meth:`check`, or another PC was faster
        """
        self.check(request, now)
        public_key = ca.request_to_key(request.csr)
        holder = names.peer_id(public_key.public_bytes_raw())
        self._book.consume(
            request.token_id,
            functools.partial(_shows, request),
            f'{request.name} ({holder})',
            now,
        )
        return self._sign(public_key, now)

    def _sign(
        self,
        public_key: ed25519.Ed25519PublicKey,
        now: datetime.datetime,
    ) -> wire.JoinAnswer:
        membership = self._membership
        certificate = ca.make_member(
            self._key,
            self._certificate,
            public_key,
            names.PEER,
            membership.overlay,
            now,
        )
        return wire.JoinAnswer(
            overlay=membership.overlay,
            certificates=ca.to_pem(certificate, self._certificate),
            ca=membership.root,
            credential=credentials.make_credential(
                self._key,
                membership.root_key,
                membership.overlay,
                certificate,
                Role.PEER,
            ),
            issuer_credential=self._papers.credential,
            ring_keys={str(number): key for number, key in self._ring_keys()},
            seeds=tuple(self._seeds())[:SEEDS],
        )


def _shows(request: wire.JoinRequest, secret: bytes) -> bool:
    return token.is_proved(secret, request)
