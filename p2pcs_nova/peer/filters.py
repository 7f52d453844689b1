# SPDX-License-Identifier: Apache-2.0
"""What may pass at the taps of this PC, by nftables.

Our tables hold the rules of every tap.  They are always replaced as a
whole, in one transaction, so that the same set of taps gives the same
tables however we got there and no packet sees a table half made.  Rules
name taps by name and are in place before a tap exists.

Four questions are put to a frame, in this order:

1. Does a guest say who he is (``guests``; :mod:`.spoofing`)?
2. Is it between a guest and his PC itself?  Then it is dropped: they do
   not see each other (``host-in``, ``host-out``).
3. May it begin something, by the groups of its sender and of its receiver
   (``begin``; :mod:`.groups`)?  If not, it is marked.
4. Does a marked packet belong to what was allowed to begin?  Then its mark
   is taken off (``go-on``); what is still marked is dropped (``end``).

Only question 4 needs to know connections.  The bridge family of many
kernels does not; so br_netfilter shows the packets of a bridge to the
``inet`` family, between ``begin`` and ``end``.  Where it does not, marks
stay on: nothing passes that no rule allows.
"""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import trio

from p2pcs_nova import errors, wire
from p2pcs_nova.peer import groups, networks, spoofing

TABLE = 'p2pcs'
NFT_TIMEOUT_S = 10.0

Apply = Callable[[Iterable[wire.Vif]], Awaitable[None]]


def render(vifs: Iterable[wire.Vif]) -> str:
    """The input of ``nft -f`` that makes the tables of these ports.

    A PC without guests has no tables.

    :raises Malformed: an address or a rule of a port is not one
    """
    ports = sorted(vifs, key=lambda vif: vif.port)
    secured = [vif for vif in ports if vif.secured]
    lines = [
        # Declared first so that deleting them cannot fail.
        f'table bridge {TABLE} {{ }}',
        f'table inet {TABLE} {{ }}',
        f'delete table bridge {TABLE}',
        f'delete table inet {TABLE}',
    ]
    if not ports:
        return '\n'.join([*lines, ''])
    lines.append(f'table bridge {TABLE} {{')
    for vif in secured:
        lines += _chain(_spoofing(vif), spoofing.rules(vif))
        for direction in wire.Direction:
            lines += _chain(
                _groups(vif, direction), groups.chain(vif, direction)
            )
    lines += _base_chains(ports, secured)
    lines += ['}', f'table inet {TABLE} {{']
    lines += _hook('go-on', 'forward', 0, _going_on(secured))
    return '\n'.join([*lines, '}', ''])


def _base_chains(
    ports: Sequence[wire.Vif], secured: Sequence[wire.Vif]
) -> list[str]:
    guests = [
        f'iifname "{_tap(vif)}" goto {_spoofing(vif)}' for vif in secured
    ]
    begin = [
        f'{side} "{_tap(vif)}" jump {_groups(vif, direction)}'
        for vif in secured
        for side, direction in (
            ('iifname', wire.Direction.EGRESS),
            ('oifname', wire.Direction.INGRESS),
        )
    ]
    marked = f'meta mark {groups.MARK:#x}'
    return [
        *_hook('guests', 'prerouting', -250, guests),
        *_hook(
            'host-in',
            'input',
            -200,
            [f'iifname "{_tap(vif)}" drop' for vif in ports],
        ),
        *_hook(
            'host-out',
            'output',
            -200,
            [f'oifname "{_tap(vif)}" drop' for vif in ports],
        ),
        *_hook('begin', 'forward', -200, begin),
        *_hook('end', 'forward', 200, [f'{marked} drop'] if secured else []),
    ]


def _going_on(secured: Sequence[wire.Vif]) -> list[str]:
    if not secured:
        return []
    marked = f'meta mark {groups.MARK:#x}'
    return [f'{marked} ct state established,related meta mark set 0']


def _hook(
    name: str, hook: str, priority: int, rules: Iterable[str]
) -> list[str]:
    """A chain that the kernel calls."""
    where = f'type filter hook {hook} priority {priority}; policy accept;'
    return _chain(name, [where, *rules])


def _chain(name: str, rules: Iterable[str]) -> list[str]:
    return [f'  chain {name} {{', *[f'    {rule}' for rule in rules], '  }']


def _tap(vif: wire.Vif) -> str:
    return networks.tap_name(vif.port)


def _spoofing(vif: wire.Vif) -> str:
    return f'from-{_tap(vif)}'


def _groups(vif: wire.Vif, direction: wire.Direction) -> str:
    return f'{direction}-{_tap(vif)}'


async def check(vifs: Iterable[wire.Vif]) -> None:
    """Whether tables can be made of these ports; nothing is touched.

    In a thread: whoever has a group of thousands of addresses must not
    make the PC deaf meanwhile.

    :raises Malformed: an address or a rule of a port is not one
    """
    await trio.to_thread.run_sync(render, tuple(vifs))


def with_rules(
    vifs: Iterable[wire.Vif], ports: Iterable[wire.PortFilter]
) -> tuple[wire.Vif, ...]:
    """The same ports; where nothing is said, nothing may pass.

    A user may take the port of his server away, and Neutron then gives its
    address to another; the guest's tap stays.
    """
    said = {one.port: one for one in ports}
    return tuple(
        vif.with_filter(said.get(vif.port, wire.PortFilter(vif.port)))
        for vif in vifs
    )


async def apply(
    vifs: Iterable[wire.Vif], nft: Sequence[str] = ('nft',)
) -> None:
    """Make the tables of exactly these ports.

    :param nft: the command, in another network namespace perhaps
    :raises HypervisorFailed: nft refused or is missing; the tables are as
        they were
    """
    text = await trio.to_thread.run_sync(render, tuple(vifs))
    try:
        with trio.fail_after(NFT_TIMEOUT_S):
            done = await trio.run_process(
                [*nft, '-f', '-'],
                stdin=text.encode(),
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
            )
    except OSError as error:
        raise errors.HypervisorFailed(f'nft: {error}') from None
    except trio.TooSlowError:
        raise errors.HypervisorFailed('nft did not answer') from None
    if done.returncode:
        said = done.stdout.decode(errors='replace').strip()
        raise errors.HypervisorFailed(f'nft refused the filters: {said}')


class Filters:
    """The ports of this PC and the tables that match them.

    Nothing is changed before :meth:`restore` has succeeded: a table with
    one instance's ports would be one without all others'.

    :param apply: makes the tables of exactly these ports
    """

    def __init__(self, apply: Apply = apply) -> None:
        self._apply = apply
        self._lock = trio.Lock()
        self._ports: dict[str, tuple[wire.Vif, ...]] | None = None

    async def restore(self, ports: Mapping[str, tuple[wire.Vif, ...]]) -> None:
        """The ports of all instances, after a start of the daemon."""
        async with self._lock:
            await self._replace(dict(ports))

    async def renew(self) -> None:
        """Make the tables again: a firewall's restart flushes all rules."""
        async with self._lock:
            if self._ports:
                await self._replace(self._ports)

    async def set(self, instance: str, vifs: tuple[wire.Vif, ...]) -> None:
        """The ports of an instance, before its taps exist, or anew.

        :raises HypervisorBusy: nothing is restored yet
        """
        async with self._lock:
            await self._replace({**self._known(), instance: vifs})

    async def clear(self, instance: str) -> None:
        """Remove them, when its taps are gone.

        :raises HypervisorBusy: nothing is restored yet
        """
        async with self._lock:
            ports = self._known()
            left = {k: v for k, v in ports.items() if k != instance}
            await self._replace(left)

    def _known(self) -> dict[str, tuple[wire.Vif, ...]]:
        if self._ports is None:
            raise errors.HypervisorBusy(
                'the filters of other guests are not yet in place'
            )
        return self._ports

    async def _replace(self, ports: dict[str, tuple[wire.Vif, ...]]) -> None:
        await self._apply([vif for vifs in ports.values() for vif in vifs])
        self._ports = ports
