# SPDX-License-Identifier: Apache-2.0
"""Whom a daemon asks for a policy, and what it keeps of the answer."""

from __future__ import annotations

import errno
import random

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ed25519
from trio.testing import MockClock

from gossip import events as news
from gossip.descriptor import Address, Member, Role, Status, Version
from p2pcs_nova import errors, wire
from p2pcs_nova.daemon import policies
from p2pcs_nova.policy import signing
from p2pcs_nova.policy.in_force import InForce
from p2pcs_nova.policy.partition import Partition

pytestmark = pytest.mark.trio

ROOT = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
GATEWAY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
ROOT_KEY = ROOT.public_key().public_bytes_raw()
GATEWAY_KEY = GATEWAY.public_key().public_bytes_raw()
GATEWAY_ID = (b'g' * 16).hex()


def policy(version: int) -> wire.SignedPolicy:
    text = f'version: {version}\nslices: [{{name: s{version}, match: {{}}}}]'
    return signing.sign_policy(text, ROOT)


def slices(version: int, generation: int) -> wire.Signed:
    row = wire.SliceRow(f's{version}', of=f's{version}', share=1_000_000)
    found = wire.SliceMap(version, generation, (row,))
    return signing.sign_map(found, GATEWAY, GATEWAY_ID)


def member(name: bytes) -> Member:
    return Member(
        name * 16,
        Role.PEER,
        bytes(32),
        Address('10.0.0.1', 7400),
        7400,
        1,
        bytes(8),
        0,
        Status.ALIVE,
    )


class Daemon:
    """A daemon's policies, and the members around it."""

    def __init__(self) -> None:
        self.bundles: dict[bytes, wire.PolicyBundle] = {}
        self.claims: dict[bytes, wire.PolicyNews] = {}
        """What members say that they have, whatever they hand out."""
        self.asked: list[bytes] = []
        self.kept: list[wire.PolicyBundle] = []
        self.told: list[wire.PolicyNews] = []
        self.seen: list[Partition] = []
        self.full = False
        self.knows_gateway = True
        self.policies = policies.Policies(
            InForce(),
            ROOT_KEY,
            keep=self._keep,
            publish=self.told.append,
            ask=self._ask,
            others=lambda: [
                (member(name), claim) for name, claim in self.claims.items()
            ],
            gateway_key=lambda peer: (
                GATEWAY_KEY
                if peer == GATEWAY_ID and self.knows_gateway
                else None
            ),
            rng=random.Random(1),
        )
        self.policies.on_change = self.seen.append

    async def _keep(self, bundle: wire.PolicyBundle) -> None:
        await trio.lowlevel.checkpoint()
        if self.full:
            raise OSError(errno.ENOSPC, 'no space')
        self.kept.append(bundle)

    async def _ask(self, one: Member) -> wire.PolicyBundle:
        name = one.peer[:1]
        self.asked.append(name)
        if name not in self.bundles:
            raise errors.Unreachable('it is off')
        return self.bundles[name]

    def hear(
        self,
        name: bytes,
        signed: wire.SignedPolicy | None,
        slice_map: wire.Signed | None = None,
    ) -> None:
        """A member tells of what it has."""
        self.bundles[name] = wire.PolicyBundle(signed, slice_map)
        self.claims[name] = InForce.restore(self.bundles[name], ROOT_KEY).news
        self.wake(name)

    def wake(self, name: bytes) -> None:
        """A record of a member has come."""
        self.policies.on_event(
            news.RecordChanged(name * 16, 'policy', b'x', Version(1, 1))
        )

    @property
    def version(self) -> int:
        return self.policies.in_force.policy.version


@pytest.fixture
def daemon(nursery: trio.Nursery) -> Daemon:
    found = Daemon()
    nursery.start_soon(found.policies.run)
    return found


async def test_a_newer_policy_is_fetched_kept_told_and_followed(
    daemon: Daemon, autojump_clock: MockClock
) -> None:
    daemon.hear(b'a', policy(1), slices(1, 1))
    await trio.sleep(30)
    assert (daemon.version, daemon.asked) == (1, [b'a'])
    assert daemon.kept == [daemon.bundles[b'a']]
    assert daemon.told == [daemon.claims[b'a']]
    assert [one.open for one in daemon.seen] == [('s1',)]

    daemon.hear(b'b', policy(3))
    await trio.sleep(30)
    assert (daemon.version, daemon.asked) == (3, [b'a', b'b'])
    assert daemon.kept[-1] == wire.PolicyBundle(policy(3), slices(1, 1))
    assert daemon.seen[-1].names == ('s3', 's1')
    assert daemon.seen[-1].open == ('s3',)


async def test_nobody_is_asked_for_what_is_not_newer(
    daemon: Daemon, autojump_clock: MockClock
) -> None:
    await daemon.policies.apply(policy(2))
    daemon.hear(b'a', policy(2))
    daemon.hear(b'b', policy(1))
    await trio.sleep(60)
    assert daemon.asked == []


async def test_who_is_off_is_asked_again_or_another_is(
    daemon: Daemon, autojump_clock: MockClock
) -> None:
    daemon.hear(b'a', policy(1))
    del daemon.bundles[b'a']
    await trio.sleep(60)
    assert daemon.version == 0
    assert 3 < len(daemon.asked) < 15
    daemon.hear(b'b', policy(1))
    await trio.sleep(60)
    assert daemon.version == 1


async def test_a_lie_of_a_member_does_not_keep_others_from_being_heard(
    daemon: Daemon, autojump_clock: MockClock
) -> None:
    daemon.hear(b'a', policy(1))
    forged = wire.SignedPolicy(policy(9).text, bytes(64))
    daemon.claims[b'a'] = wire.PolicyNews(9, b'x')
    daemon.bundles[b'a'] = wire.PolicyBundle(forged)
    daemon.hear(b'b', policy(2))
    await trio.sleep(300)
    assert (daemon.version, daemon.kept) == (
        2,
        [wire.PolicyBundle(policy(2))],
    )


async def test_a_map_of_a_gateway_that_is_not_known_waits_for_it(
    daemon: Daemon, autojump_clock: MockClock
) -> None:
    daemon.knows_gateway = False
    daemon.hear(b'a', policy(1), slices(1, 4))
    await trio.sleep(30)
    assert daemon.version == 1
    assert daemon.policies.in_force.map.generation == 0
    daemon.knows_gateway = True
    await trio.sleep(30)
    assert daemon.policies.in_force.map.generation == 4


async def test_what_a_full_disk_does_not_take_is_in_force_nevertheless(
    daemon: Daemon, autojump_clock: MockClock
) -> None:
    daemon.full = True
    daemon.hear(b'a', policy(1))
    await trio.sleep(30)
    assert (daemon.version, daemon.kept) == (1, [])


async def test_what_the_operator_applies_is_durable_or_refused(
    daemon: Daemon, autojump_clock: MockClock
) -> None:
    daemon.full = True
    with pytest.raises(OSError, match='no space'):
        await daemon.policies.apply(policy(1))
    assert (daemon.version, daemon.told) == (0, [])
    daemon.full = False
    await daemon.policies.apply(policy(2))
    await daemon.policies.apply(policy(2))
    assert len(daemon.kept) == 1
    with pytest.raises(errors.StalePolicy):
        await daemon.policies.apply(policy(1))
    forged = wire.SignedPolicy(policy(3).text, policy(2).signature)
    with pytest.raises(errors.BadPolicy):
        await daemon.policies.apply(forged)
    assert daemon.version == 2


async def test_an_era_is_fetched_and_kept_by_itself(
    daemon: Daemon, autojump_clock: MockClock
) -> None:
    await daemon.policies.apply(policy(2))
    word = wire.Era(2, GATEWAY_ID, 'counter')
    signed = signing.sign_era(word, ROOT)
    daemon.bundles[b'a'] = wire.PolicyBundle(policy(1), era=signed)
    daemon.claims[b'a'] = InForce.restore(daemon.bundles[b'a'], ROOT_KEY).news
    daemon.wake(b'a')
    await trio.sleep(30)
    assert (daemon.version, daemon.policies.in_force.era) == (2, word)
    assert daemon.kept[-1] == wire.PolicyBundle(policy(2), era=signed)
    with pytest.raises(errors.StalePolicy):
        await daemon.policies.apply_era(
            signing.sign_era(wire.Era(1, GATEWAY_ID, 'counter'), ROOT)
        )
