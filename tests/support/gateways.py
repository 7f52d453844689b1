# SPDX-License-Identifier: Apache-2.0
"""A gateway's service over PCs in memory, on a virtual clock."""

from __future__ import annotations

import contextlib
import math
import pathlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol, TypeVar

import trio
from cryptography.hazmat.primitives.asymmetric import ed25519

from p2pcs_nova import journal, layout, run_right, wire
from p2pcs_nova.gateway import book as books
from p2pcs_nova.gateway import options as config
from p2pcs_nova.gateway import peers as asking
from p2pcs_nova.gateway import service as services
from p2pcs_nova.policy import reading
from p2pcs_nova.policy.partition import Partition

T = TypeVar('T')

GATEWAY_ID = 'f' * 32
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
ONE_SLICE = 'slices: [{name: all, match: {}}]'


class Pcs(Protocol):
    """The PCs around a gateway, played or real."""

    def connect(
        self,
        peer: str,
        command: wire.Command,
        timeout_s: float,
        request_id: str,
        /,
    ) -> asking.RemotePeer:
        """As a gateway's ``Connect``."""
        ...

    def tell(self, service: services.GatewayService) -> None:
        """Everything that the overlay knows now."""
        ...


def sign(right: wire.RunRight) -> wire.Signed:
    """As this gateway signs."""
    return run_right.sign_run_right(right, KEY, GATEWAY_ID)


def verify(signed: wire.Signed) -> wire.RunRight:
    """As every gateway of the overlay verifies."""
    return run_right.open_run_right(
        signed, KEY.public_key().public_bytes_raw()
    )


async def at_once(
    call: Callable[..., T],
    /,
    *arguments: Any,
    abandon_on_cancel: bool = False,
) -> T:
    """A blocking call in place: no thread, so the virtual clock stays."""
    await trio.lowlevel.checkpoint()
    return call(*arguments)


def make_service(
    folder: pathlib.Path,
    office: Pcs,
    *,
    policy: str = ONE_SLICE,
    options: config.Options = config.DEFAULTS,
    seed: int = 1,
    clock: Callable[[], float] = trio.current_time,
    ledger: books.SharedLedger | None = None,
    run_blocking: books.RunBlocking = at_once,
    **more: Any,
) -> services.GatewayService:
    """A service that is not yet running."""
    return services.GatewayService(
        layout=layout.Layout(folder),
        partition=Partition(reading.read_policy(policy, 'policy')),
        peer=GATEWAY_ID,
        name='gw1',
        sign=sign,
        verify=verify,
        connect=office.connect,
        clock=clock,
        journal=journal.Journal(folder / 'journal', 'gw1', clock),
        rng=random.Random(seed),
        options=options,
        ledger=ledger,
        run_blocking=run_blocking,
        **more,
    )


async def command_all(
    service: services.GatewayService, until_s: float = math.inf
) -> None:
    """Command every slice of the policy, as the only gateway."""
    for name in service.slice_names:
        await service.take_term(name, wire.TermRequest(until_s))


@contextlib.asynccontextmanager
async def running(
    folder: pathlib.Path, office: Pcs, **how: Any
) -> AsyncIterator[services.GatewayService]:
    """A running service that has heard of every PC."""
    service = make_service(folder, office, **how)
    async with trio.open_nursery() as nursery:
        await nursery.start(service.run)
        await command_all(service)
        office.tell(service)
        yield service
        nursery.cancel_scope.cancel()
