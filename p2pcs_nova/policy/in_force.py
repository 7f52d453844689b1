# SPDX-License-Identifier: Apache-2.0
"""The policy, the slice map and the era that one daemon has.

A policy is ordered by its version, a slice map by the version of its policy
and then by its generation, an era by its number; a digest decides between
two that are equal in that, so that all come to have the same.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import msgspec

from p2pcs_nova import errors, wire
from p2pcs_nova.policy import reading, signing
from p2pcs_nova.policy.document import NOTHING, Policy
from p2pcs_nova.policy.partition import NO_MAP, Partition
from p2pcs_nova.policy.words import PolicyError

DIGEST_BYTES = 16


@dataclasses.dataclass(frozen=True)
class InForce:
    """What is in force here."""

    bundle: wire.PolicyBundle = dataclasses.field(
        default_factory=wire.PolicyBundle
    )
    policy: Policy = NOTHING
    map: wire.SliceMap = NO_MAP
    era: wire.Era | None = None
    """None: no admin has ever raised it."""

    @classmethod
    def restore(cls, bundle: wire.PolicyBundle, root_key: bytes) -> InForce:
        """What was in force before; its slice map has been verified then.

        :raises BadPolicy: the root has not signed policy or era
        """
        policy, slices, era = bundle.policy, bundle.slices, bundle.era
        return cls(
            bundle,
            signing.open_policy(policy, root_key) if policy else NOTHING,
            signing.read_map(slices) if slices else NO_MAP,
            signing.open_era(era, root_key) if era else None,
        )

    @functools.cached_property
    def partition(self) -> Partition:
        """The slices as they are now."""
        return Partition(self.policy, self.map)

    @functools.cached_property
    def news(self) -> wire.PolicyNews:
        """What others are told of it."""
        bundle = self.bundle
        policy, slices, era = bundle.policy, bundle.slices, bundle.era
        return wire.PolicyNews(
            self.policy.version,
            b'' if policy is None else _digest(policy.text.encode()),
            self.map.policy,
            self.map.generation,
            b'' if slices is None else _digest(slices.payload),
            0 if self.era is None else self.era.number,
            b'' if era is None else _digest(era.payload),
        )

    def lacks(self, news: wire.PolicyNews) -> bool:
        """Whether who says this has anything newer."""
        return any(
            rank(news) > rank(self.news)
            for rank in (_policy_rank, _map_rank, _era_rank)
        )

    def with_policy(
        self, signed: wire.SignedPolicy, root_key: bytes
    ) -> InForce:
        """The same with this policy in force; itself if it is already.

        :raises BadPolicy: the root has not signed it
        :raises StalePolicy: a newer one is in force
        """
        new = dataclasses.replace(
            self,
            bundle=msgspec.structs.replace(self.bundle, policy=signed),
            policy=signing.open_policy(signed, root_key),
        )
        if _policy_rank(new.news) == _policy_rank(self.news):
            return self
        if _policy_rank(new.news) < _policy_rank(self.news):
            raise errors.StalePolicy(
                f'version {self.policy.version} of the policy is in force, '
                f'and this is version {new.policy.version}'
            )
        return new

    def with_map(self, signed: wire.Signed, public_key: bytes) -> InForce:
        """The same with this slice map in force; itself if it is already.

        :param public_key: of the gateway that ``signed`` names
        :raises BadPolicy: the gateway has not signed it
        :raises StalePolicy: a newer one is in force
        """
        new = dataclasses.replace(
            self,
            bundle=msgspec.structs.replace(self.bundle, slices=signed),
            map=signing.open_map(signed, public_key),
        )
        if _map_rank(new.news) == _map_rank(self.news):
            return self
        if _map_rank(new.news) < _map_rank(self.news):
            raise errors.StalePolicy(
                f'generation {self.map.generation} of the slice map is in '
                f'force, and this is generation {new.map.generation}'
            )
        return new

    def with_era(self, signed: wire.SignedEra, root_key: bytes) -> InForce:
        """The same with this era in force; itself if it is already.

        :raises BadPolicy: the root has not signed it
        :raises StalePolicy: a later one is in force
        """
        era = signing.open_era(signed, root_key)
        new = dataclasses.replace(
            self,
            bundle=msgspec.structs.replace(self.bundle, era=signed),
            era=era,
        )
        if _era_rank(new.news) == _era_rank(self.news):
            return self
        if _era_rank(new.news) < _era_rank(self.news):
            raise errors.StalePolicy(
                f'era {self.news.era} is in force, and this is {era.number}'
            )
        return new


def read_partition(bundle: wire.PolicyBundle) -> Partition:
    """The slices as the daemon of this machine says, unverified.

    :raises BadPolicy: it cannot be read
    """
    if bundle.policy is None:
        return Partition()
    try:
        policy = reading.read_policy(bundle.policy.text, is_new=False)
    except PolicyError as error:
        raise errors.BadPolicy(str(error)) from None
    slices = bundle.slices
    return Partition(policy, signing.read_map(slices) if slices else NO_MAP)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def _policy_rank(news: wire.PolicyNews) -> tuple[int, bytes]:
    return news.version, news.digest


def _map_rank(news: wire.PolicyNews) -> tuple[int, int, bytes]:
    return news.map_policy, news.generation, news.map_digest


def _era_rank(news: wire.PolicyNews) -> tuple[int, bytes]:
    return news.era, news.era_digest
