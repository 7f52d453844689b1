# SPDX-License-Identifier: Apache-2.0
"""The keys of a throw-away overlay, for simulations and trials.

Everything is drawn from one ``random.Random``: who knows its seed can make
any key. Never for an overlay that carries anything of worth.
"""

import random

from cryptography.hazmat.primitives.asymmetric import ed25519

from gossip import credential, descriptor, identity, seal

#: Seconds since 1970 at which such an overlay begins.
WALL = 1_800_000_000
_YEAR_S = 365 * 86400
_PORT = 7400


class Overlay:
    """The keys of a throw-away overlay: a root, an issuer, a ring.

    :param wall: the present; its keys do not depend on it
    """

    def __init__(
        self,
        rng: random.Random,
        name: str = 'simulated',
        wall: int = WALL,
    ) -> None:
        self._rng = rng
        self._wall = wall
        self.root = self._make_key()
        self.issuer = self._make_key()
        root = credential.raw_public_key(self.root)
        self.overlay = credential.overlay_id(name, root)
        self.root_key = root
        self.issuer_credential = self.sign(
            self.root, self.issuer, descriptor.Role.ISSUER
        )
        self.ring = seal.RingKeys(((0, rng.randbytes(32)),))

    def sign(
        self,
        signer: ed25519.Ed25519PrivateKey,
        holder: ed25519.Ed25519PrivateKey,
        role: descriptor.Role,
        lifetime_s: int = _YEAR_S,
    ) -> bytes:
        """A credential for the holder, valid since a day ago."""
        return credential.make_credential(
            signer,
            overlay=self.overlay,
            public_key=credential.raw_public_key(holder),
            role=role,
            not_before=self._wall - 86400,
            not_after=self._wall + lifetime_s,
        )

    def make_identity(
        self,
        role: descriptor.Role = descriptor.Role.PEER,
        lifetime_s: int = _YEAR_S,
        *,
        key: ed25519.Ed25519PrivateKey | None = None,
    ) -> identity.Identity:
        """A new member: a peer by the issuer, others by the root.

        :param key: its own; drawn as all the others if there is none
        """
        key = key or self._make_key()
        if role is descriptor.Role.PEER:
            signed = self.sign(self.issuer, key, role, lifetime_s)
            return identity.Identity(
                key, signed, self.issuer_credential, _PORT
            )
        signed = self.sign(self.root, key, role, lifetime_s)
        return identity.Identity(key, signed, None, _PORT)

    def make_trust(self) -> credential.Trust:
        """What a member believes."""
        return credential.Trust(self.overlay, self.root_key)

    def _make_key(self) -> ed25519.Ed25519PrivateKey:
        return ed25519.Ed25519PrivateKey.from_private_bytes(
            self._rng.randbytes(32)
        )
