# SPDX-License-Identifier: Apache-2.0
"""One peer of kinship, with the same lines as ``gossip.agent``.

Runs by a Python of its own, which has kinship and nothing of ours.
"""

import asyncio
import sys

import kinship


def _say(kind: str, what: str) -> None:
    sys.stdout.write(f'{kind} {what}\n')
    sys.stdout.flush()


def _tell(event: object) -> None:
    match event:
        case kinship.MemberJoined(member=member):
            _say('JOIN', member.name)
        case kinship.MemberDead(member=member):
            _say('FAIL', member.name)
        case kinship.UserMessage(data=data):
            _say('EVENT', data.decode())


async def _obey(cluster: kinship.Cluster) -> None:
    """Broadcast what standard input says."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        what = line.split()[1]
        await cluster.broadcast(what)
        _say('EVENT', what.decode())


async def _run(name: str, bind: str, seed: str) -> None:
    settings = kinship.Config.lan(
        name=name,
        bind=bind,
        seeds=[] if seed == '-' else [seed],
        insecure_plaintext=True,
    )
    async with kinship.Cluster(settings) as cluster:
        happenings = cluster.events()
        for member in cluster.members():
            _say('JOIN', member.name)
        obeying = asyncio.create_task(_obey(cluster))
        async for event in happenings:
            _tell(event)
        obeying.cancel()


if __name__ == '__main__':
    asyncio.run(_run(*sys.argv[1:4]))
