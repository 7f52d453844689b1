# SPDX-License-Identifier: Apache-2.0
"""Ask a PC by the identity of this machine, whoever that is.

Run as ``asking PEER_ID HOST SLICE ERA N [WHAT...]`` in a machine of the
lab; without WHAT everything is asked that only a slice's gateway may ask.
``unspoken`` is a claim by no term; ``buried`` is a build, rightly signed by
this machine, of an epoch that must not run.
Prints JSON: for each request the code of the refusal, '' if it was served.
"""

from __future__ import annotations

import json
import pathlib
import sys
import uuid
from collections.abc import Awaitable, Callable

import trio

from p2pcs_nova import errors, run_right, wire
from p2pcs_nova.client.remote import RemoteClient
from p2pcs_nova.identity import tls
from p2pcs_nova.identity.store import IdentityStore

STATE = pathlib.Path('/var/lib/p2pcs/identity')
PORT = 7400
NEED = wire.Capacity(1, 64, 64)


async def refusal(request: Callable[[], Awaitable[object]]) -> str:
    """The code of a request's error."""
    try:
        await request()
    except errors.P2PcsError as error:
        return error.code
    return ''


async def build_buried(
    pc: RemoteClient, store: IdentityStore, right: wire.RunRight
) -> None:
    """Ask for what a tombstone has forbidden."""
    await pc.tombstone(wire.Tombstone(right.instance, right.epoch))
    image = wire.Image(right.image, 'raw', 1)
    spec = wire.InstanceSpec(right.instance, 'nobody', NEED, image, 64)
    signer = store.load().peer_id
    signed = run_right.sign_run_right(right, store.key(), signer)
    await pc.build(
        right.instance, wire.BuildRequest(right.instance, signed, spec)
    )


async def main(
    peer: str, host: str, slice_name: str, era: str, n: str, *only: str
) -> None:
    """Ask, and print what was answered."""
    store = IdentityStore(STATE)
    member = store.load()
    context = tls.mutual_client(store.key_path, member.chain, member.root)
    term = wire.Counter(int(era), int(n))
    nobody = str(uuid.uuid4())
    epoch = wire.Counter(term.era, 1)
    signed = wire.Signed(b'{}', member.peer_id, bytes(64))
    image = wire.Image('sha256:' + 64 * '0', 'raw', 1)
    spec = wire.InstanceSpec(nobody, 'nobody', NEED, image, 64)
    right = wire.RunRight(nobody, epoch, peer, slice_name, image.digest)
    target = (host, PORT), peer, 'peer', member.overlay, context
    async with (
        RemoteClient(*target, wire.Command(slice_name, term)) as pc,
        RemoteClient(*target) as unspoken,
    ):
        requests: dict[str, Callable[[], Awaitable[object]]] = {
            'status': pc.status,
            'claim': lambda: pc.claim(wire.Claim(nobody, NEED)),
            'release': lambda: pc.release(nobody),
            'build': lambda: pc.build(
                nobody, wire.BuildRequest(nobody, signed, spec)
            ),
            'action': lambda: pc.action(
                nobody, wire.ActionRequest(wire.Action.STOP, epoch=epoch)
            ),
            'filter': lambda: pc.filter(nobody, wire.FilterRequest((), epoch)),
            'tombstone': lambda: pc.tombstone(wire.Tombstone(nobody, epoch)),
            'instances': pc.instances,
            'console': lambda: pc.console(nobody, 100),
            'diagnostics': lambda: pc.diagnostics(nobody),
        }
        if only:
            requests |= {
                'unspoken': lambda: unspoken.claim(wire.Claim(nobody, NEED)),
                'buried': lambda: build_buried(pc, store, right),
            }
        codes = {
            name: await refusal(ask)
            for name, ask in requests.items()
            if name in (only or requests)
        }
    sys.stdout.write(json.dumps(codes))


if __name__ == '__main__':
    peer, host, slice_name, era, n, *only = sys.argv[1:]
    trio.run(main, peer, host, slice_name, era, n, *only)
