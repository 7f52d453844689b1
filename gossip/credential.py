# SPDX-License-Identifier: Apache-2.0
"""Membership credentials: who belongs to the overlay, in 122 bytes.

The root signs issuers, gateways and admins; an issuer signs peers and
nothing else, so a gateway that is broken into cannot make a gateway.

    version(1) overlay(8) public key(32) role(1) not before(4)
    not after(4) issuer's key id(8) | Ed25519 signature(64)

All integers are big-endian, times are seconds since 1970.
"""

import dataclasses
import hashlib
import struct

from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric import ed25519

from gossip import descriptor, errors

_BODY = struct.Struct('>B8s32sBII8s')
_DOMAIN = b'gossip credential 1\0'
_VERSION = 1
_CACHE = 16384
CREDENTIAL_BYTES = _BODY.size + 64


def overlay_id(name: str, root_key: bytes) -> bytes:
    """The 8 bytes that name an overlay: of its name and its root key."""
    digest = hashlib.sha256(b'gossip overlay 1\0' + root_key)
    digest.update(name.encode())
    return digest.digest()[:8]


def key_id(public_key: bytes) -> bytes:
    """The 8 bytes that name a signing key in a credential."""
    return hashlib.sha256(public_key).digest()[:8]


def raw_public_key(private_key: ed25519.Ed25519PrivateKey) -> bytes:
    """The 32 bytes of the public half of a key."""
    return private_key.public_key().public_bytes_raw()


@dataclasses.dataclass(frozen=True)
class Credential:
    """What a credential says; whether it holds is for :class:`Trust`."""

    overlay: bytes
    public_key: bytes
    role: descriptor.Role
    not_before: int
    not_after: int
    issuer: bytes

    @property
    def peer(self) -> descriptor.PeerId:
        """The peer id of the holder."""
        return descriptor.peer_id(self.public_key)


def make_credential(
    issuer_key: ed25519.Ed25519PrivateKey,
    *,
    overlay: bytes,
    public_key: bytes,
    role: descriptor.Role,
    not_before: int,
    not_after: int,
) -> bytes:
    """Sign a credential with the root's or an issuer's key.

    :raises Misuse: a field of the wrong size or an empty lifetime
    """
    if len(overlay) != 8 or len(public_key) != 32:
        raise errors.Misuse('overlay has 8 bytes, a public key 32')
    if not 0 <= not_before < not_after < 2**32:
        raise errors.Misuse('not a lifetime in seconds since 1970')
    body = _BODY.pack(
        _VERSION,
        overlay,
        public_key,
        role,
        not_before,
        not_after,
        key_id(raw_public_key(issuer_key)),
    )
    return body + issuer_key.sign(_DOMAIN + body)


def read_credential(data: bytes) -> Credential:
    """What a credential says, believed by nobody yet.

    :raises MalformedMessage: not a credential
    """
    if len(data) != CREDENTIAL_BYTES or data[0] != _VERSION:
        raise errors.MalformedMessage('credential')
    _, overlay, key, role, before, after, issuer = _BODY.unpack_from(data)
    try:
        known = descriptor.Role(role)
    except ValueError as error:
        raise errors.MalformedMessage('credential role') from error
    return Credential(overlay, key, known, before, after, issuer)


class Trust:
    """Whom this overlay believes: its root, known issuers, the revoked.

    Each signature is verified once: what held is remembered, up to
    16,384 of them, and may be shared by nodes of one process.

    :param overlay: from :func:`overlay_id`
    :param root_key: the root's raw public key
    """

    def __init__(self, overlay: bytes, root_key: bytes) -> None:
        if len(overlay) != 8 or len(root_key) != 32:
            raise errors.Misuse('overlay has 8 bytes, a root key 32')
        self.overlay = overlay
        self._root = root_key
        self._root_id = key_id(root_key)
        self._issuers: dict[bytes, tuple[bytes, Credential]] = {}
        self._revoked: dict[descriptor.PeerId, None] = {}
        self._held: dict[bytes, None] = {}

    def revoke(self, peer: descriptor.PeerId) -> None:
        """Believe no issuer who says that this is a peer, ever again.

        What the root has signed goes on to hold.
        """
        self._revoked[peer] = None

    def is_revoked(self, peer: descriptor.PeerId) -> bool:
        """Whether the peer has been revoked."""
        return peer in self._revoked

    def issuer(self, issuer: bytes) -> bytes | None:
        """The issuer's own credential; none for the root or unknown."""
        known = self._issuers.get(issuer)
        return known[0] if known else None

    def check(
        self,
        credential: bytes,
        now_wall: float,
        issuer: bytes | None = None,
    ) -> Credential:
        """What the credential says, if it holds now.

        :param issuer: the issuer's own credential, if it came along; one
            that holds is remembered
        :raises MalformedMessage: not a credential
        :raises CredentialRefused: it does not hold; nothing is remembered
        """
        if issuer is not None:
            self.learn_issuer(issuer, now_wall)
        said = read_credential(credential)
        self._check_terms(said, now_wall)
        if said.role is descriptor.Role.ISSUER:
            raise errors.CredentialRefused('credential_role')
        self._verify(self._signer(said, now_wall), credential)
        return said

    def learn_issuer(self, credential: bytes, now_wall: float) -> None:
        """Remember an issuer whose credential the root has signed.

        :raises MalformedMessage: not a credential
        :raises CredentialRefused: it does not hold; nothing is remembered
        """
        said = read_credential(credential)
        known = self._issuers.get(key_id(said.public_key))
        if known is not None and known[0] == credential:
            return
        self._check_terms(said, now_wall)
        if (
            said.role is not descriptor.Role.ISSUER
            or said.issuer != self._root_id
        ):
            raise errors.CredentialRefused('credential_issuer')
        self._verify(self._root, credential)
        if known is None or known[1].not_after < said.not_after:
            self._issuers[key_id(said.public_key)] = credential, said

    def verify(self, public_key: bytes, data: bytes, signature: bytes) -> bool:
        """Whether the signature is the key's; remembered if so."""
        name = hashlib.blake2b(
            data + signature, digest_size=16, key=public_key
        ).digest()
        if name in self._held:
            return True
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(public_key).verify(
                signature, data
            )
        except (exceptions.InvalidSignature, ValueError):
            return False
        if len(self._held) >= _CACHE:
            del self._held[next(iter(self._held))]
        self._held[name] = None
        return True

    def _check_terms(self, said: Credential, now_wall: float) -> None:
        if said.overlay != self.overlay:
            raise errors.CredentialRefused('credential_overlay')
        if not said.not_before <= now_wall < said.not_after:
            raise errors.CredentialRefused('credential_time')
        if said.role is descriptor.Role.PEER and said.peer in self._revoked:
            raise errors.CredentialRefused('credential_revoked')

    def _signer(self, said: Credential, now_wall: float) -> bytes:
        if said.issuer == self._root_id:
            return self._root
        known = self._issuers.get(said.issuer)
        if known is None:
            raise errors.CredentialRefused('credential_issuer')
        if said.role is not descriptor.Role.PEER:
            raise errors.CredentialRefused('credential_role')
        self._check_terms(known[1], now_wall)
        return known[1].public_key

    def _verify(self, public_key: bytes, credential: bytes) -> None:
        body, signature = credential[: _BODY.size], credential[_BODY.size :]
        if not self.verify(public_key, _DOMAIN + body, signature):
            raise errors.CredentialRefused('credential_signature')
