# SPDX-License-Identifier: Apache-2.0
"""What a member keeps of itself: key, membership, boot counter.

Files in one folder (mode 0700, files 0600): ``key.pem`` is made once and
never changes; ``membership.json`` is replaced as a whole; ``boot`` counts
starts; ``revocations.json`` only grows.
"""

from __future__ import annotations

import pathlib
import shutil

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import files, names, wire
from p2pcs_nova.identity import keys


class NotJoined(Exception):
    """This machine is not a member of an overlay; says what to do."""


class DamagedStore(Exception):
    """A file of the store cannot be read; it is unchanged."""


class KnownGateway(msgspec.Struct, frozen=True):
    """A gateway, and where it was last seen."""

    peer_id: wire.PeerId
    address: str
    """``host:port``, of the overlay and of requests."""


class Membership(msgspec.Struct, frozen=True):
    """All that a member must know to take its place after a restart."""

    overlay: str
    peer_id: wire.PeerId
    role: str
    chain: bytes
    """PEM: our certificate, then the issuer's if it is not the root."""
    root: bytes
    """PEM of the root's certificate."""
    credential: bytes
    issuer_credential: bytes | None
    """None: the root has signed the credential."""
    ring_keys: tuple[tuple[int, bytes], ...]
    """(number, key), oldest first: the last one seals."""
    seeds: tuple[str, ...] = ()
    """``host:port`` of the overlay, to start from."""
    gateways: tuple[KnownGateway, ...] = ()
    """Newest first: who was away for long asks them for the ring key."""

    @property
    def name(self) -> names.MemberName:
        """The name in our certificate."""
        return names.MemberName(self.peer_id, self.role, self.overlay)

    @property
    def root_key(self) -> bytes:
        """The root's raw public key."""
        key = x509.load_pem_x509_certificate(self.root).public_key()
        assert isinstance(key, ed25519.Ed25519PublicKey)
        return key.public_bytes_raw()

    @property
    def certificate(self) -> x509.Certificate:
        """Our own certificate."""
        return x509.load_pem_x509_certificates(self.chain)[0]


class IdentityStore:
    """The folder of one member; of one process at a time.

    :param folder: ``Layout.identity``
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    @property
    def key_path(self) -> pathlib.Path:
        """The private key, PEM."""
        return self.folder / 'key.pem'

    @property
    def _membership_path(self) -> pathlib.Path:
        return self.folder / 'membership.json'

    @property
    def _revocations_path(self) -> pathlib.Path:
        return self.folder / 'revocations.json'

    @property
    def _boot_path(self) -> pathlib.Path:
        return self.folder / 'boot'

    def key(self) -> ed25519.Ed25519PrivateKey:
        """Our key; made at the first call ever.

        :raises BadKey: the file holds something else
        """
        files.make_folder(self.folder)
        return keys.load_or_make_key(self.key_path)

    def load(self) -> Membership:
        """Our membership.

        :raises NotJoined: there is none
        :raises DamagedStore: it cannot be read
        """
        try:
            data = self._membership_path.read_bytes()
        except FileNotFoundError:
            raise NotJoined(
                f'this machine is in no overlay ({self.folder} has no '
                'membership): on a PC run `p2pcs-peer join TOKEN`, on the '
                'control plane `p2pcs-manage gateway enrol`'
            ) from None
        try:
            return msgspec.json.decode(data, type=Membership)
        except wire.UNDECODABLE as error:
            raise DamagedStore(f'{self._membership_path}: {error}') from None

    def is_joined(self) -> bool:
        """Whether there is a membership."""
        return self._membership_path.exists()

    def save(self, membership: Membership) -> None:
        """Put this in place of what was known; durable at return.

        :raises OSError: as before; the old membership stands
        """
        files.make_folder(self.folder)
        files.replace(self._membership_path, msgspec.json.encode(membership))

    def revocations(self) -> tuple[bytes, ...]:
        """Who was put out of the overlay, as the overlay wants it.

        :raises DamagedStore: it cannot be read
        """
        try:
            return msgspec.json.decode(
                self._revocations_path.read_bytes(), type=tuple[bytes, ...]
            )
        except FileNotFoundError:
            return ()
        except msgspec.DecodeError as error:
            raise DamagedStore(f'{self._revocations_path}: {error}') from None

    def add_revocation(self, revocation: bytes) -> None:
        """Keep one more; durable at return, idempotent."""
        known = self.revocations()
        if revocation not in known:
            files.replace(
                self._revocations_path,
                msgspec.json.encode((*known, revocation)),
            )

    def remove(self) -> None:
        """Be no member any more, durably; idempotent.

        The membership goes first: with a part of the rest it is none.
        """
        if not self.folder.exists():
            return
        for path in (self._membership_path, self.key_path):
            path.unlink(missing_ok=True)
            files.sync_folder(self.folder)
        shutil.rmtree(self.folder)
        files.sync_folder(self.folder.parent)

    def next_boot(self) -> int:
        """Count this start; the number is durable before it is used.

        :raises DamagedStore: the counter cannot be read
        """
        boot = self._boot() + 1
        files.replace(self._boot_path, b'%d\n' % boot)
        return boot

    def raise_boot(self, at_least: int) -> None:
        """The overlay remembers a later start of ours than we do.

        A disk restored from a backup would say old things under numbers
        that others have seen already.
        """
        if at_least > self._boot():
            files.replace(self._boot_path, b'%d\n' % at_least)

    def _boot(self) -> int:
        try:
            return int(self._boot_path.read_bytes())
        except FileNotFoundError:
            return 0
        except ValueError:
            raise DamagedStore(
                f'{self._boot_path} does not hold a number'
            ) from None
