# SPDX-License-Identifier: Apache-2.0
"""What a gateway relies on in a PC: the played one keeps it, as the real.

Each test runs on the PC in memory and on the real service behind mutual
TLS.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.gateway import peers as asking
from tests.support import fake_pcs, gateways, real_pcs

pytestmark = [pytest.mark.trio, pytest.mark.libvirt]

STATE = wire.InstanceState
GOLD = wire.Command('gold', wire.Counter(1, 5))
NEED = real_pcs.NEED
ROOM_FOR_2 = wire.Capacity(2, 128, 128)


@dataclasses.dataclass(frozen=True)
class Pc:
    """A PC, whichever."""

    id: str
    connect: Callable[[wire.Command], asking.RemotePeer]
    drain: Callable[[], Awaitable[None]]

    async def place(self, request: wire.SpawnRequest, n: int = 1) -> None:
        """Claim and build epoch n."""
        async with self.connect(GOLD) as remote:
            grant = await remote.claim(request.claim)
            await remote.build(
                request.claim.instance, self.order(request, grant.id, n)
            )

    def order(
        self, request: wire.SpawnRequest, reservation: str, n: int = 1
    ) -> wire.BuildRequest:
        """To build epoch n."""
        right = wire.RunRight(
            request.spec.instance,
            wire.Counter(1, n),
            self.id,
            'gold',
            request.spec.image.digest,
        )
        return wire.BuildRequest(
            reservation, gateways.sign(right), request.spec
        )


@contextlib.asynccontextmanager
async def played(folder: pathlib.Path) -> AsyncIterator[Pc]:
    pc = fake_pcs.FakePc(1, ROOM_FOR_2, slice_=GOLD.slice)
    pc.build_s = 0.0

    async def drain() -> None:
        pc.draining = True
        await trio.lowlevel.checkpoint()

    yield Pc(pc.id, lambda command: fake_pcs.Session(pc, command), drain)


@contextlib.asynccontextmanager
async def real(folder: pathlib.Path) -> AsyncIterator[Pc]:
    office = real_pcs.Office(folder, 1)
    ((peer, pc),) = office.pcs.items()

    def connect(command: wire.Command) -> asking.RemotePeer:
        return office.connect(peer, command, 30.0, '')

    async def drain() -> None:
        await pc.service.standing.drain(True)

    with trio.fail_after(real_pcs.DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await real_pcs.start(nursery, office, GOLD.slice)
            yield Pc(peer, connect, drain)
            nursery.cancel_scope.cancel()


Opened = contextlib.AbstractAsyncContextManager[Pc]


@pytest.fixture(params=[played, real], ids=['played', 'real'])
def opened(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Opened:
    manager: Opened = request.param(tmp_path)
    return manager


def claim_of(number: int, need: wire.Capacity = NEED) -> wire.Claim:
    return msgspec.structs.replace(real_pcs.request(number).claim, need=need)


async def test_released_grant_is_free_again(opened: Opened) -> None:
    async with opened as pc, pc.connect(GOLD) as remote:
        grant = await remote.claim(claim_of(0, ROOM_FOR_2))
        assert grant.free == wire.Capacity()
        assert grant.expires_s > 1.0
        await remote.release(grant.id)
        await remote.release(grant.id)
        again = await remote.claim(claim_of(1))
        assert again.free == NEED


async def test_repeated_claim_renews_its_grant(opened: Opened) -> None:
    async with opened as pc, pc.connect(GOLD) as remote:
        first = await remote.claim(claim_of(0))
        again = await remote.claim(claim_of(0))
        assert (again.id, again.free) == (first.id, first.free)


async def test_refused_claims_say_whether_to_wait(opened: Opened) -> None:
    async with opened as pc, pc.connect(GOLD) as remote:
        with pytest.raises(errors.NotOffered):
            await remote.claim(claim_of(0, wire.Capacity(3, 64, 64)))
        elsewhere = msgspec.structs.replace(claim_of(0), networks=('lab',))
        with pytest.raises(errors.NotOffered):
            await remote.claim(elsewhere)
        await pc.place(real_pcs.request(1))
        with pytest.raises(errors.Full):
            await remote.claim(claim_of(0, ROOM_FOR_2))
        grant = await remote.claim(claim_of(2))
        with pytest.raises(errors.Held):
            await remote.claim(claim_of(0))
        await remote.release(grant.id)
        await remote.claim(claim_of(0))


async def test_pc_serves_no_other_slice_bound_or_free(opened: Opened) -> None:
    other = wire.Command('silver', wire.Counter(1, 5))
    async with opened as pc, pc.connect(other) as remote:
        with pytest.raises(errors.OtherSlice):
            await remote.claim(claim_of(1))
        await pc.place(real_pcs.request(0))
        with pytest.raises(errors.OtherSlice):
            await remote.claim(claim_of(1))


async def test_draining_pc_takes_nothing_new(opened: Opened) -> None:
    async with opened as pc, pc.connect(GOLD) as remote:
        await pc.drain()
        with pytest.raises(errors.Draining):
            await remote.claim(claim_of(0))


async def test_full_and_draining_pc_builds_anew_what_it_has(
    opened: Opened,
) -> None:
    request = real_pcs.request(0)
    async with opened as pc, pc.connect(GOLD) as remote:
        await pc.place(request)
        await remote.claim(claim_of(1))
        await pc.drain()
        await pc.place(request, 2)
        built = await remote.instance(request.claim.instance)
        assert built.epoch == wire.Counter(1, 2)


async def test_build_without_its_reservation_replaces_nothing(
    opened: Opened,
) -> None:
    request = real_pcs.request(0)
    uuid = request.claim.instance
    async with opened as pc, pc.connect(GOLD) as remote:
        await pc.place(request)
        built = await remote.instance(uuid)
        with pytest.raises(errors.ReservationGone):
            await remote.build(
                uuid, pc.order(request, claim_of(9).instance, 2)
            )
        assert await remote.instance(uuid) == built


async def test_earlier_term_is_refused(opened: Opened) -> None:
    old = wire.Command('gold', wire.Counter(1, 4))
    async with opened as pc:
        async with pc.connect(GOLD) as remote:
            await remote.instances()
        async with pc.connect(old) as remote:
            with pytest.raises(errors.StaleTerm):
                await remote.claim(claim_of(0))
            with pytest.raises(errors.StaleTerm):
                await remote.instances()


async def test_build_is_idempotent_and_needs_its_reservation(
    opened: Opened,
) -> None:
    request = real_pcs.request(0)
    uuid = request.claim.instance
    async with opened as pc, pc.connect(GOLD) as remote:
        nobody = claim_of(9).instance
        with pytest.raises(errors.ReservationGone):
            await remote.build(uuid, pc.order(request, nobody))
        grant = await remote.claim(request.claim)
        built = await remote.build(uuid, pc.order(request, grant.id))
        assert (built.state, built.epoch) == (
            STATE.PLUGGED,
            wire.Counter(1, 1),
        )
        assert await remote.build(uuid, pc.order(request, nobody)) == built
        listed = await remote.instances()
        assert (listed.peer, listed.instances) == (pc.id, (built,))
        assert await remote.instance(uuid) == built


async def test_filters_are_for_the_epoch_that_is_built(
    opened: Opened,
) -> None:
    request = real_pcs.request(0)
    uuid = request.claim.instance
    shut = wire.FilterRequest((), wire.Counter(1, 1))
    async with opened as pc, pc.connect(GOLD) as remote:
        with pytest.raises(errors.NotFound):
            await remote.filter(uuid, shut)
        await pc.place(request)
        await remote.filter(uuid, shut)
        with pytest.raises(errors.StaleEpoch):
            await remote.filter(
                uuid, wire.FilterRequest((), wire.Counter(1, 2))
            )


async def test_tombstone_ends_its_epoch_for_good(opened: Opened) -> None:
    request = real_pcs.request(0)
    uuid = request.claim.instance
    async with opened as pc, pc.connect(GOLD) as remote:
        await pc.place(request, n=2)
        await remote.tombstone(wire.Tombstone(uuid, wire.Counter(1, 1)))
        assert (await remote.instance(uuid)).state is STATE.PLUGGED
        for _ in range(2):
            await remote.tombstone(wire.Tombstone(uuid, wire.Counter(1, 2)))
            with pytest.raises(errors.NotFound):
                await remote.instance(uuid)
        grant = await remote.claim(request.claim)
        with pytest.raises(errors.StaleEpoch):
            await remote.build(uuid, pc.order(request, grant.id, n=2))
        built = await remote.build(uuid, pc.order(request, grant.id, n=3))
        assert built.epoch == wire.Counter(1, 3)


async def test_tombstone_of_what_was_never_here_is_kept(
    opened: Opened,
) -> None:
    request = real_pcs.request(0)
    uuid = request.claim.instance
    async with opened as pc, pc.connect(GOLD) as remote:
        await remote.tombstone(wire.Tombstone(uuid, wire.Counter(1, 7)))
        grant = await remote.claim(request.claim)
        with pytest.raises(errors.StaleEpoch):
            await remote.build(uuid, pc.order(request, grant.id, n=7))


async def test_action_is_for_the_epoch_that_runs(opened: Opened) -> None:
    request = real_pcs.request(0)
    uuid = request.claim.instance
    start = wire.ActionRequest(wire.Action.START, epoch=wire.Counter(1, 2))
    async with opened as pc, pc.connect(GOLD) as remote:
        with pytest.raises(errors.NotFound):
            await remote.action(uuid, start)
        await pc.place(request, n=2)
        other = msgspec.structs.replace(start, epoch=wire.Counter(1, 1))
        with pytest.raises(errors.StaleEpoch):
            await remote.action(uuid, other)
        assert (await remote.action(uuid, start)).state is STATE.RUNNING
        assert (await remote.diagnostics(uuid)).state is STATE.RUNNING
        assert (await remote.console(uuid, 10)).instance == uuid


async def test_pc_tells_by_which_right_it_has_an_instance(
    opened: Opened,
) -> None:
    request = real_pcs.request(0)
    secret = wire.ConfigFile('secret', b'password')
    spec = msgspec.structs.replace(request.spec, config_drive=(secret,))
    request = msgspec.structs.replace(request, spec=spec)
    uuid = request.claim.instance
    async with opened as pc, pc.connect(GOLD) as remote:
        with pytest.raises(errors.NotFound):
            await remote.right(uuid)
        await pc.place(request, n=2)
        held = await remote.right(uuid)
        assert held.run_right == pc.order(request, '', n=2).run_right
        assert held.spec == msgspec.structs.replace(spec, config_drive=())


async def test_copy_of_a_disk_is_handed_over_whole(opened: Opened) -> None:
    request = real_pcs.request(0)
    uuid = request.claim.instance
    once = wire.SnapshotRequest(30.0, wire.Counter(1, 2))
    async with opened as pc, pc.connect(GOLD) as remote:
        with pytest.raises(errors.NotFound):
            async with remote.snapshot(uuid, once):
                pass
        await pc.place(request, n=2)
        for epoch in (None, wire.Counter(1, 1)):
            other = msgspec.structs.replace(once, epoch=epoch)
            with pytest.raises(errors.StaleEpoch):
                async with remote.snapshot(uuid, other):
                    pass
        for _ in range(2):
            async with remote.snapshot(uuid, once) as body:
                copy = b''.join([chunk async for chunk in body.chunks])
            assert len(copy) == body.size_bytes
            assert copy.startswith(b'QFI\xfb')


async def test_suspended_guest_is_resumed(opened: Opened) -> None:
    plain = real_pcs.request(0)
    # So little memory that there is room for it on the disk.
    need = wire.Capacity(1, 16, 64)
    request = msgspec.structs.replace(
        plain,
        claim=claim_of(0, need),
        spec=msgspec.structs.replace(plain.spec, need=need),
    )
    uuid = request.claim.instance
    async with opened as pc, pc.connect(GOLD) as remote:
        await pc.place(request)
        for action, state in (
            (wire.Action.START, STATE.RUNNING),
            (wire.Action.SUSPEND, STATE.SUSPENDED),
            (wire.Action.RESUME, STATE.RUNNING),
        ):
            wanted = wire.ActionRequest(action, epoch=wire.Counter(1, 1))
            assert (await remote.action(uuid, wanted)).state is state
