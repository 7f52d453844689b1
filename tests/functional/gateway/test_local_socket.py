# SPDX-License-Identifier: Apache-2.0
"""The driver's client against a gateway, over a real UNIX socket."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import pathlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import pytest
import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.client.local import LocalClient
from p2pcs_nova.gateway import api
from p2pcs_nova.transport import application, handling, listeners
from tests.support import fake_pcs, gateways
from tests.support.small_office import ROOM_FOR_3, SMALL

pytestmark = pytest.mark.trio

T = TypeVar('T')

DEADLINE_S = 30.0
STATE = wire.InstanceState


def office() -> fake_pcs.Office:
    pcs = fake_pcs.Office(*(fake_pcs.FakePc(n, ROOM_FOR_3) for n in (1, 2)))
    for pc in pcs.pcs.values():
        pc.build_s = 0.01
    return pcs


@contextlib.asynccontextmanager
async def listening(
    folder: pathlib.Path, pcs: fake_pcs.Office
) -> AsyncIterator[LocalClient]:
    path = str(folder / 'run' / 'p2pcs.sock')
    with trio.fail_after(DEADLINE_S):
        async with (
            gateways.running(folder, pcs) as service,
            trio.open_nursery() as nursery,
        ):
            app = application.make_application(api.local_routes(service))
            await nursery.start(listeners.serve_unix, app, path)
            with LocalClient(path) as client:
                yield client
            nursery.cancel_scope.cancel()


async def ask(what: Callable[..., T], *arguments: Any, **named: Any) -> T:
    call = functools.partial(what, *arguments, **named)
    return await trio.to_thread.run_sync(call, abandon_on_cancel=True)


async def test_driver_leads_an_instance_through_its_life(
    tmp_path: pathlib.Path,
) -> None:
    pcs = office()
    request = fake_pcs.spawn_request(0, SMALL)
    uuid = request.claim.instance
    async with listening(tmp_path, pcs) as client:
        placed = await ask(client.spawn, 'all', request, 10.0)
        assert placed.status.state is STATE.PLUGGED
        started = await ask(
            client.action, 'all', uuid, wire.ActionRequest(wire.Action.START)
        )
        assert started.status.state is STATE.RUNNING
        for fresh in (True, False):
            assert await ask(client.instance, 'all', uuid, fresh) == started
        shut = wire.FilterRequest((wire.PortFilter(uuid),))
        await ask(client.filter, 'all', uuid, shut)
        (holder,) = pcs.live(uuid)
        assert holder.filters[uuid] == shut.ports
        console = await ask(client.console, 'all', uuid, 3)
        assert console.output == b'in: '[-3:]
        diagnostics = await ask(client.diagnostics, 'all', uuid)
        assert diagnostics.state is STATE.RUNNING
        listed = await ask(client.placements, 'all')
        assert listed.instances == (started,)
        assert (await ask(client.instances)).instances == (started,)
        summary = await ask(client.slice, 'all')
        assert (await ask(client.slices)).slices == (summary,)
        holders = (await ask(client.holders)).gateways
        assert holders == {summary.name: 'gw1'}
        assert (summary.peers, summary.used) == (2, SMALL)
        rows = (await ask(client.peers)).peers
        assert [row.instances for row in rows if row.peer == placed.peer] == [
            1
        ]
        gone = await ask(client.destroy, 'all', uuid)
        assert gone == wire.Destroyed(True)
        with pytest.raises(errors.NotFound):
            await ask(client.instance, 'all', uuid)
    assert pcs.live(uuid) == []


async def test_scheduler_hears_which_slices_can_take_a_server(
    tmp_path: pathlib.Path,
) -> None:
    pcs = office()
    request = wire.FitRequest(SMALL, ('office',))
    async with listening(tmp_path, pcs) as client:
        one = wire.SliceFit('all', peers=2, slots=6, matching=2)
        assert (await ask(client.fits, request)).slices == (one,)
        await ask(client.spawn, 'all', fake_pcs.spawn_request(0, SMALL), 10.0)
        (one,) = (await ask(client.fits, request)).slices
        assert (one.peers, one.slots) == (2, 5)
        large = wire.FitRequest(wire.Capacity(64))
        (one,) = (await ask(client.fits, large)).slices
        assert (one.peers, one.refused) == (0, {'too small': 2})
        strange = wire.FitRequest(SMALL, wishes=wire.Wishes(slice='bronze'))
        with pytest.raises(errors.NotFound, match='bronze'):
            await ask(client.fits, strange)


async def test_server_that_found_no_slice_is_explained_pc_by_pc(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    request = wire.FitRequest(
        wire.Capacity(64), instances=(str(uuid.UUID(int=7)),)
    )
    async with listening(tmp_path, office()) as client:
        await ask(client.fits, request)
        told = await ask(client.story, request.instances[0])
    assert [(one.slice, one.reason) for one in told.fits] == [
        ('all', 'too small'),
        ('all', 'too small'),
    ]
    line = (
        f'[-] instance {request.instances[0]}: a slice is looked for; '
        '2 PCs: 2 too small'
    )
    assert line in caplog.messages


async def test_pc_that_never_comes_back_is_given_up_by_an_operator(
    tmp_path: pathlib.Path,
) -> None:
    pcs = office()
    request = fake_pcs.spawn_request(0, SMALL)
    uuid = request.claim.instance
    async with listening(tmp_path, pcs) as client:
        placed = await ask(client.spawn, 'all', request, 10.0)
        assert (await ask(client.graves)).graves == ()
        with pytest.raises(errors.NotFound):
            await ask(client.forget, uuid)
        holder = pcs.pcs[placed.peer]
        holder.cut = True
        before = await ask(client.placements, 'all')
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, client.destroy, 'all', uuid)
            await ask(client.placements, 'all', before.revision, 20.0)
            graves = (await ask(client.graves)).graves
            (grave,) = graves
            assert (grave.instance, grave.slice) == (uuid, 'all')
            assert grave.peer_name == placed.peer_name
            # The deletion, which waits for the PC, ends as well.
            assert (await ask(client.forget, uuid)).graves == graves
        assert (await ask(client.graves)).graves == ()
        gone = await ask(client.destroy, 'all', uuid)
        assert gone == wire.Destroyed(True)
    # The gateway restarts, and has given it up.
    async with listening(tmp_path, pcs) as client:
        assert (await ask(client.graves)).graves == ()


async def test_long_poll_answers_when_something_changes(
    tmp_path: pathlib.Path,
) -> None:
    async with listening(tmp_path, office()) as client:
        before = await ask(client.placements, 'all')
        found: list[wire.Placements] = []

        async def poll() -> None:
            found.append(
                await ask(client.placements, 'all', before.revision, 20.0)
            )

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            request = fake_pcs.spawn_request(0, SMALL)
            await ask(client.spawn, 'all', request, 10.0)
        assert trio.current_time() - began < 15.0
        assert found[0].revision > before.revision


async def test_refusals_reach_the_driver_by_their_code(
    tmp_path: pathlib.Path,
) -> None:
    async with listening(tmp_path, office()) as client:
        request = fake_pcs.spawn_request(0, wire.Capacity(9, 64, 100))
        with pytest.raises(errors.NoPeerFits, match='2 PCs: 2 too small'):
            await ask(client.spawn, 'all', request, 10.0)
        with pytest.raises(errors.NotFound, match='the policy has all'):
            await ask(client.slice, 'gold')
        uuid = request.claim.instance
        with pytest.raises(errors.NotFound, match='has no instance'):
            await ask(client.console, 'all', uuid, 10)


@pytest.mark.parametrize(
    ('method', 'path', 'body'),
    [
        ('GET', '/v1/slices/NO_SLICE', b''),
        ('GET', '/v1/slices/all/instances/17', b''),
        ('GET', '/v1/slices/all/instances?after=x', b''),
        ('GET', '/v1/slices/all/instances?wait_s=nan', b''),
        ('PUT', f'/v1/slices/all/instances/{"0" * 8}', b'{}'),
        ('PUT', '/v1/slices/all/instances/{uuid}', b'{"claim": 3}'),
        ('PUT', '/v1/slices/all/instances/{uuid}', b'{other}'),
        ('POST', '/v1/slices/all/instances/{uuid}/action', b'[]'),
        ('POST', '/v1/slices/all/instances/{uuid}/snapshot', b'{}'),
        (
            'POST',
            '/v1/slices/all/instances/{uuid}/snapshot',
            b'{"timeout_s": -1}',
        ),
        ('PUT', '/v1/images/md5:00?format=raw&size=1', b'x'),
        ('PUT', '/v1/images/{digest}?format=vmdk&size=1', b'x'),
        ('PUT', '/v1/images/{digest}?format=raw&size=-1', b'x'),
        ('PUT', '/v1/images/{digest}?format=raw', b'x'),
    ],
)
async def test_malformed_requests_are_refused(
    tmp_path: pathlib.Path, method: str, path: str, body: bytes
) -> None:
    request = fake_pcs.spawn_request(0, SMALL)
    path = path.replace('{uuid}', request.claim.instance)
    path = path.replace('{digest}', 'sha256:' + '0' * 64)
    body = body.replace(
        b'{other}', wire_json(fake_pcs.spawn_request(1, SMALL))
    )
    async with listening(tmp_path, office()) as client:
        with pytest.raises(errors.Malformed):
            await ask(client._call, method, path, content=body)


def wire_json(request: wire.SpawnRequest) -> bytes:
    body = handling.answer(request).body
    return bytes(body)


async def test_image_is_taken_once_and_only_as_announced(
    tmp_path: pathlib.Path,
) -> None:
    data = bytes(3 * 2**20)
    image = wire.Image(
        'sha512:' + hashlib.sha512(data).hexdigest(), 'raw', len(data)
    )
    forged = wire.Image('sha256:' + '0' * 64, 'raw', len(data))
    disguised = wire.Image(image.digest, 'qcow2', len(data))
    pieces = [
        data[start : start + 2**16] for start in range(0, len(data), 2**16)
    ]
    async with listening(tmp_path, office()) as client:
        assert not await ask(client.has_image, image.digest)
        for wrong in (forged, disguised):
            with pytest.raises(errors.ImageRefused):
                await ask(client.put_image, wrong, pieces)
            assert not await ask(client.has_image, wrong.digest)
        await ask(client.put_image, image, pieces)
        assert await ask(client.has_image, image.digest)
        await ask(client.put_image, image, pieces)
    assert [path.name for path in (tmp_path / 'images').iterdir()] == [
        image.digest.replace(':', '-')
    ]
    async with listening(tmp_path, office()) as client:
        assert await ask(client.has_image, image.digest)


@pytest.mark.parametrize('error', [OSError, ConnectionResetError])
async def test_image_that_breaks_off_at_its_source_is_said_so(
    tmp_path: pathlib.Path, error: type[OSError]
) -> None:
    image = wire.Image(f'sha256:{"a" * 64}', 'raw', 2**20)

    def pieces() -> Iterator[bytes]:
        yield bytes(100)
        yield bytes(100)
        raise error('Glance has gone')

    async with listening(tmp_path, office()) as client:
        with pytest.raises(errors.Unavailable, match='Glance has gone'):
            await ask(client.put_image, image, pieces())
        assert not await ask(client.has_image, image.digest)


class Tenure:
    """A term, and what was said of its end."""

    def __init__(self, term: wire.Counter) -> None:
        self._term = term
        self.ends: list[str] = []

    def command(self) -> wire.Command:
        return wire.Command('all', self._term)

    def is_over(self, why: str) -> None:
        self.ends.append(why)


async def test_driver_is_served_by_the_term_of_its_slice_only(
    tmp_path: pathlib.Path,
) -> None:
    request = fake_pcs.spawn_request(0, SMALL)
    uuid = request.claim.instance
    async with listening(tmp_path, office()) as client:
        now = (await ask(client.slice, 'all')).term
        assert now is not None
        first = Tenure(now)
        driver = LocalClient(client.socket, authority=first)
        await ask(driver.spawn, 'all', request, 10.0)
        later = wire.TermRequest(trio.current_time() + 60.0)
        held = await ask(client.take_term, 'all', later)
        assert held.term > now
        for stale in (
            functools.partial(driver.placements, 'all'),
            functools.partial(driver.destroy, 'all', uuid),
            # By the old term none of them would be known any more.
            driver.graves,
            functools.partial(client.end_term, first.command()),
        ):
            with pytest.raises(errors.StaleTerm):
                await ask(stale)
        assert len(first.ends) == 3
        second = Tenure(held.term)
        driver = LocalClient(client.socket, authority=second)
        assert (await ask(driver.destroy, 'all', uuid)).done
        assert second.ends == []
        await ask(client.end_term, second.command())
        assert (await ask(client.slice, 'all')).term is None
        with pytest.raises(errors.StaleTerm):
            await ask(driver.placements, 'all')
        with pytest.raises(errors.Unavailable):
            await ask(client.spawn, 'all', request, 10.0)
        with pytest.raises(errors.StaleTerm):
            await ask(
                client.take_term,
                'all',
                wire.TermRequest(later.until_s, held.term),
            )
